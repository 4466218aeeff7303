"""Kinds of operations that the fused supernet knows, by exact type and geometry.

What is known here is computed together with others of its kind, so that nothing may hang on a
module's own forward method, its hooks, its training mode or a state of its own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from torch import nn

from nni_darts.supernet.fused.depthwise import Geometry
from nni_darts.supernet.fused.watch import hooked, settings
from search_spaces.operations import FactorizedReduce, Zero


@dataclass(frozen=True)
class Nothing:
    """Kind of `none`, which adds nothing."""


@dataclass(frozen=True)
class Feature:
    """Kind without weights: computed once for all edges that leave a state."""

    pool: tuple[Any, ...] | None
    """The `settings` of the pooling module; None for the identity."""
    eps: float | None
    """Epsilon of the normalisation after the pool; None without normalisation."""


@dataclass(frozen=True)
class Stage:
    """ReLU, depthwise and pointwise convolution, normalisation."""

    geometry: Geometry
    eps: float


@dataclass(frozen=True)
class Chain:
    """Kind of separable convolution, of one stage or more; the number of channels stays."""

    channels: int
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Reduction:
    """Kind of `FactorizedReduce` that keeps the number of channels."""

    channels: int
    eps: float


Kind = Nothing | Feature | Chain | Reduction


def recognise(operation: nn.Module) -> Kind | None:
    """The kind of an operation; operations of equal kinds may run together. None: unknown."""
    if any(hooked(module) for module in operation.modules()):
        return None
    if type(operation) is Zero:
        return Nothing()
    if type(operation) is nn.Identity:
        return Feature(pool=None, eps=None)
    if type(operation) is FactorizedReduce:
        return _reduction(operation)
    if _is_pool(operation):
        return Feature(pool=settings(operation), eps=None)
    if type(operation) is not nn.Sequential:
        return None
    parts = list(operation)
    if len(parts) == 2 and _is_pool(parts[0]) and (eps := _norm(parts[1])) is not None:
        return Feature(pool=settings(parts[0]), eps=eps)
    return _chain(parts)


def stages_of(operation: nn.Module) -> list[tuple[nn.Conv2d, nn.Conv2d]]:
    """The depthwise and the pointwise convolution of each stage of a `Chain`."""
    convolutions = [m for m in operation.children() if isinstance(m, nn.Conv2d)]
    return list(zip(convolutions[::2], convolutions[1::2], strict=True))


def overwrites(operation: nn.Module) -> bool:
    """True if an operation may write to its input, which others read too."""
    first = operation
    while type(first) is nn.Sequential and len(first):
        first = first[0]
    return any(getattr(module, "inplace", False) for module in first.modules())


def _is_pool(module: nn.Module) -> bool:
    if type(module) is nn.MaxPool2d:
        return not module.return_indices
    return type(module) is nn.AvgPool2d


def _norm(module: nn.Module) -> float | None:
    """Epsilon of a normalisation by the batch alone, without scale and shift."""
    if type(module) is not nn.BatchNorm2d:
        return None
    kept = (module.weight, module.bias, module.running_mean, module.running_var)
    return module.eps if all(tensor is None for tensor in kept) else None


def _chain(parts: list[nn.Module]) -> Chain | None:
    stages = []
    channels = getattr(parts[1], "in_channels", None) if len(parts) > 1 else None
    if not parts or len(parts) % 4 or not isinstance(channels, int):
        return None
    for relu, depth, point, norm in zip(*[iter(parts)] * 4, strict=True):
        geometry, eps = _depthwise(depth, channels), _norm(norm)
        if type(relu) is not nn.ReLU or geometry is None or eps is None:
            return None
        if not _pointwise(point, channels, channels):
            return None
        stages.append(Stage(geometry, eps))
    return Chain(channels, tuple(stages))


def _depthwise(module: nn.Module, channels: int) -> Geometry | None:
    if type(module) is not nn.Conv2d:
        return None
    (kernel, *_), (stride, *_), (dilation, *_) = module.kernel_size, module.stride, module.dilation
    geometry = Geometry(kernel, stride, dilation)
    expected = _plain_convolution(
        channels, channels, kernel, stride, geometry.padding, dilation, channels
    )
    return geometry if kernel % 2 and settings(module) == expected and module.bias is None else None


def _pointwise(module: nn.Module, c_in: int, c_out: int, stride: int = 1) -> bool:
    return settings(module) == _plain_convolution(c_in, c_out, 1, stride) and module.bias is None


@functools.cache
def _plain_convolution(*arguments: int) -> tuple[Any, ...]:
    """The settings of a convolution without bias."""
    return settings(nn.Conv2d(*arguments, bias=False, device="meta"))  # type: ignore[arg-type, misc]


def _reduction(module: FactorizedReduce) -> Reduction | None:
    channels, eps = module.even.in_channels, _norm(module.norm)
    halves = (module.even, module.odd)
    known = all(_pointwise(m, channels, channels // 2, stride=2) for m in halves)
    if not known or eps is None or type(module.relu) is not nn.ReLU:
        return None
    return Reduction(channels, eps)
