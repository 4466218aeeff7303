"""Capture and replay on the CPU: what a CUDA graph does, without CUDA.

Like a CUDA graph it knows tensors by their memory, runs no Python in a replay, computes nothing in
the capture, and refuses what would have to wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from waiting import require_no_waiting

from nni_darts.search.cuda_graph import capturable


class Recorder(TorchDispatchMode):
    """Writes down every operation with the memory that it read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.made: set[int] = set()
        self.found: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        require_no_waiting(func, args, kwargs)
        for x in tree_leaves((args, kwargs)):
            self._find(x)
        # By their memory: the tensor itself may point elsewhere later.
        inputs = tree_map(_memory, (args, kwargs))
        output = func(*args, **kwargs)
        known = {_place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        outputs = [x for x in tree_leaves(output) if isinstance(x, Tensor)]
        views = all(_place(x) in known for x in outputs)
        if func._schema.is_mutable or not views or "native_batch_norm" in func._schema.name:
            fresh = [None if _place(x) in known else _memory(x) for x in outputs]
            self.operations.append((func, *inputs, fresh))
        self.made |= {_place(x) for x in outputs} - known
        return output

    def _find(self, x: Any) -> None:
        """Keep what lies in memory that was there before the capture."""
        if isinstance(x, Tensor) and _place(x) not in self.made and _place(x) not in self.found:
            whole = torch.empty(0, dtype=x.dtype).set_(x.untyped_storage())
            self.found[_place(x)] = (whole, whole.clone())

    def undo(self) -> None:
        for memory, before in self.found.values():
            memory.copy_(before)
        for *_, outputs in self.operations:
            for output in outputs:
                if output is not None:
                    output.fill_(7)  # nothing was computed

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, outputs in self.operations:
                results = [x for x in tree_leaves(func(*args, **kwargs)) if isinstance(x, Tensor)]
                for memory, result in zip(outputs, results, strict=True):
                    if memory is not None:
                        memory.copy_(result)


def _place(x: Tensor) -> int:
    return x.untyped_storage()._cdata


def _memory(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


class OnTheCpu:
    """`nni_darts.search.cuda_graph.Capturing` for the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Else an Adam whose state stays on the device is for GPUs alone.
        monkeypatch.setattr(
            import_module("torch.optim.adam"),
            "_get_capturable_supported_devices",
            lambda *args, **kwargs: ["cpu"],
        )
        self.captures = self.replays = self.rehearsals = 0

    def refusal(self, device: torch.device) -> str | None:
        return None

    def prepare(self, optimizer: Optimizer) -> None:
        capturable(optimizer, True)

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        self.rehearsals += 1
        yield

    def capture(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        self.captures += 1
        recorder = Recorder()
        try:
            with recorder:
                result = work()
        finally:
            recorder.undo()

        def replay() -> None:
            self.replays += 1
            recorder.replay()

        return replay, result
