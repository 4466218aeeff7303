"""The random state of the process as one value that can be kept, replayed and written to a file."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import numpy as np
import numpy.typing
import torch
from torch import Tensor

_AT_REST = ContextVar("nni_darts_at_rest", default=False)


def get_state() -> dict[str, Any]:
    """The state of every generator that a training step may draw from.

    Plain tensors, numbers and tuples only, so that a checkpoint that holds it can be read with
    `torch.load(weights_only=True)`.
    """
    if _AT_REST.get():
        return {}
    # Legacy means the tuple that set_state takes; the stubs do not know which form is asked for.
    algorithm, keys, position, has_gauss, gauss = cast(
        tuple[str, "np.typing.NDArray[np.uint32]", int, int, float],
        np.random.get_state(legacy=True),
    )
    return {
        "torch": torch.get_rng_state(),
        # Asking an untouched CUDA for its state would initialise it.
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": (algorithm, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "python": random.getstate(),
    }


def set_state(state: dict[str, Any]) -> None:
    """Put every generator into the state that `get_state` returned."""
    if _AT_REST.get():
        return
    torch.set_rng_state(state["torch"])
    if state["cuda"]:  # counting the devices takes longer than all the rest
        # A checkpoint may come from a machine with more devices than this one.
        devices = range(torch.cuda.device_count())
        for device, device_state in zip(devices, state["cuda"], strict=False):
            torch.cuda.set_rng_state(device_state, device)
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), *rest))
    # Python's generator insists on tuples where a file format may have made lists.
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


def same(a: Any, b: Any) -> bool:
    """True if two states, or parts of them, are equal."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@contextmanager
def at_rest() -> Iterator[None]:
    """Context in which nothing is drawn: `get_state` and `set_state` do nothing.

    The state of a GPU's generator may not be asked for while work on it is being captured.
    """
    token = _AT_REST.set(True)
    try:
        yield
    finally:
        _AT_REST.reset(token)
