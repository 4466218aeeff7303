"""The random state of the process as one value that can be kept, replayed and written to a file."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy as np
import numpy.typing
import torch


def get_state() -> dict[str, Any]:
    """The state of every generator that a training step may draw from.

    Plain tensors, numbers and tuples only, so that a checkpoint that holds it can be read with
    `torch.load(weights_only=True)`.
    """
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
    torch.set_rng_state(state["torch"])
    # A checkpoint may come from a machine with more devices than this one.
    for device, device_state in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(device_state, device)
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), *rest))
    random.setstate(_tuples(state["python"]))


def _tuples(value: Any) -> Any:
    """Python's generator insists on tuples where a file format may have made lists."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
