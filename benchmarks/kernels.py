"""How many kernels a piece of PyTorch launches: a count that is the same on every run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

# They give out memory, or another look at it, and compute nothing; views say so themselves.
_IDLE = {
    "_efficientzerotensor",
    "_local_scalar_dense",
    "_unsafe_view",
    "empty",
    "empty_like",
    "empty_strided",
    "lift_fresh",
    "new_empty",
    "new_empty_strided",
    "resize_",
    "set_",
}


def computes(func: Any) -> bool:
    """Whether an operation of ATen computes something."""
    return not (func.is_view or func._schema.name.partition("::")[2] in _IDLE)


class KernelCounter(TorchDispatchMode):
    """Counts the operations of ATen that compute something, forwards and backwards, while entered.

    One operation counts as one kernel, a convolution's backward pass as one for each gradient that
    is asked for, an operation on a list of tensors (`_foreach_add_`) as one. What a library
    launches within one operation is not seen, so that the count does not hang on the machine; for a
    GPU's own figure there is `GpuKernels`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self.by_name.total()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func._schema.name.partition("::")[2]
        if computes(func):
            # The last argument says which of the gradients are wanted: input, weight, bias.
            self.by_name[name] += sum(args[-1]) if name == "convolution_backward" else 1
        return func(*args, **(kwargs or {}))


class GpuKernels:
    """While entered, the `kernels` that CUDA runs, and `launches` by the host: a graph is one.

    Afterwards `busy_seconds` is how long any of them ran, and `longest` has the 40 names that took
    longest, with seconds and counts.
    """

    def __enter__(self) -> GpuKernels:
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        self.profiler = profile(activities=activities)
        self.profiler.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        torch.cuda.synchronize()
        self.profiler.__exit__(*error)
        events = self.profiler.events() or []
        # Annotations (of an optimiser's step, say) span kernels and are none.
        events = [e for e in events if not getattr(e, "is_user_annotation", False)]
        ran = [e.name for e in events if e.device_type == DeviceType.CUDA]
        called = [e.name for e in events if e.device_type == DeviceType.CPU]
        self.kernels = sum(not name.startswith(("Memcpy", "Memset")) for name in ran)
        seconds: Counter[str] = Counter()
        for e in events:
            if e.device_type == DeviceType.CUDA:
                seconds[e.name] += e.time_range.elapsed_us() / 1e6
        counts = Counter(ran)
        self.longest = [(name, took, counts[name]) for name, took in seconds.most_common(40)]
        spans = [e.time_range for e in events if e.device_type == DeviceType.CUDA]
        self.busy_seconds = _covered([(span.start, span.end) for span in spans]) / 1e6
        self.launches = sum(
            name.startswith(("cudaLaunch", "cuLaunch", "cudaGraphLaunch")) for name in called
        )


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total = 0.0
    until = -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
