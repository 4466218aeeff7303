"""How many kernels a piece of PyTorch launches: a count that is the same on every run."""

from __future__ import annotations

from collections import Counter
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
        if not (func.is_view or name in _IDLE):
            # The last argument says which of the gradients are wanted: input, weight, bias.
            self.by_name[name] += sum(args[-1]) if name == "convolution_backward" else 1
        return func(*args, **(kwargs or {}))


class GpuKernels:
    """While entered, the `kernels` that CUDA runs, and `launches` by the host: a graph is one."""

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
        self.launches = sum(
            name.startswith(("cudaLaunch", "cuLaunch", "cudaGraphLaunch")) for name in called
        )
