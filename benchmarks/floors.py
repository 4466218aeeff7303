"""The least time that a step can take on a device, from what it moves and computes.

    floor = max(bytes / bandwidth, FLOP / rate of the matrix product)

Bytes: every operation reads each of its tensors once and writes each of its results once. FLOP: two
for each multiply-add of convolutions and matrix products. Both are of the step as it is launched,
operation by operation: a step that fused more of them would have a lower floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from kernels import computes
from lockstep import Fit, first_steps
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Traffic(TorchDispatchMode):
    """Counts bytes and floating-point operations while entered, backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.flop = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if computes(func):
            self.bytes += sum(map(_size, tree_leaves((args, kwargs)))) + sum(
                map(_size, tree_leaves(output))
            )
            self.flop += _flop(func._schema.name.partition("::")[2], args, output)
        return output


def _flop(name: str, args: tuple[Any, ...], output: Any) -> int:
    """Two for each multiply-add; torch's own counter multiplies grouped backward passes."""
    if name == "convolution":
        return 2 * int(output.numel()) * int(args[1][0].numel())
    if name == "convolution_backward":
        # The gradients of input and weight, as far as wanted, take what the forward pass took.
        return 2 * int(args[0].numel()) * int(args[2][0].numel()) * sum(args[-1][:2])
    if name in ("mm", "bmm"):
        return 2 * int(output.numel()) * int(args[0].shape[-1])
    if name in ("addmm", "baddbmm"):
        return 2 * int(output.numel()) * int(args[1].shape[-1])
    return 0


def _size(value: Any) -> int:
    """Bytes of a tensor's elements; an expanded one is read where it lies."""
    if not isinstance(value, Tensor):
        return 0
    sizes = [n for n, stride in zip(value.shape, value.stride(), strict=True) if stride]
    elements = 1 if value.numel() else 0
    for n in sizes:
        elements *= n
    return elements * value.element_size()


def traffic(fit: Fit) -> dict[str, float]:
    """Bytes and FLOP of the third step of a training."""
    counter = Traffic()

    class Third:
        step = 0

        def begin(self) -> None:
            self.step += 1
            if self.step == 3:
                counter.__enter__()

        def end(self) -> None:
            if self.step == 3:
                counter.__exit__(None, None, None)

    first_steps(fit, Third(), 3)
    return {"bytes": counter.bytes, "flop": counter.flop}


def copy_bandwidth(device: str, size: int) -> float:
    """Bytes read and written in a second by a copy of `size` bytes within the device's memory."""
    source = torch.rand(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source), device)


def product_rate(device: str, size: int, precision: str) -> float:
    """FLOP per second of a product of two square matrices of noise."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(2, size, size, device=device, dtype=dtype).unbind()
    return 2 * size**3 / _seconds(lambda: a @ b, device)


def _seconds(work: Callable[[], Any], device: str) -> float:
    """Median of ten, after three."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    taken = []
    for _ in range(13):
        wait()
        started = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - started)
    return sorted(taken[3:])[5]
