"""Which operations the fused supernet knows, by exact type and geometry.

What is known here is computed together with others of its kind, so that nothing may hang on a
module's own forward method, its hooks, its training mode or a state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nni_darts.fused.depthwise import Geometry
from search_spaces.operations import FactorizedReduce, Zero


@dataclass(frozen=True)
class Nothing:
    """`none`: it adds nothing."""


@dataclass(frozen=True)
class Feature:
    """Without weights: the same for every edge that leaves a state."""

    pool: str | None
    """The text of the pooling module, which says its geometry; None for the identity."""
    eps: float | None
    """Of the normalisation after it; None where there is none."""


@dataclass(frozen=True)
class Stage:
    """ReLU, depthwise and pointwise convolution, normalisation."""

    geometry: Geometry
    eps: float


@dataclass(frozen=True)
class Chain:
    """A separable convolution, of one stage or more; the number of channels stays."""

    channels: int
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Reduction:
    """`FactorizedReduce` that keeps the number of channels."""

    channels: int
    eps: float


Kind = Nothing | Feature | Chain | Reduction


def recognise(operation: nn.Module) -> Kind | None:
    """The kind of an operation; operations of equal kinds may run together. None: unknown."""
    if any(_watched(module) for module in operation.modules()):
        return None
    if type(operation) is Zero:
        return Nothing()
    if type(operation) is nn.Identity:
        return Feature(pool=None, eps=None)
    if type(operation) is FactorizedReduce:
        return _reduction(operation)
    if _is_pool(operation):
        return Feature(pool=str(operation), eps=None)
    if type(operation) is not nn.Sequential:
        return None
    parts = list(operation)
    if len(parts) == 2 and _is_pool(parts[0]) and (eps := _norm(parts[1])) is not None:
        return Feature(pool=str(parts[0]), eps=eps)
    return _chain(parts)


def stages_of(operation: nn.Module) -> list[tuple[nn.Conv2d, nn.Conv2d]]:
    """The depthwise and the pointwise convolution of each stage of a `Chain`."""
    convolutions = [m for m in operation.children() if isinstance(m, nn.Conv2d)]
    return list(zip(convolutions[::2], convolutions[1::2], strict=True))


def _watched(module: nn.Module) -> bool:
    """Whether somebody wants to be told when the module runs."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(hooks) or any((module._backward_hooks, module._backward_pre_hooks))


def _is_pool(module: nn.Module) -> bool:
    if type(module) is nn.MaxPool2d:
        return not module.return_indices
    return type(module) is nn.AvgPool2d


def _norm(module: nn.Module) -> float | None:
    """The eps of a normalisation by the batch alone, without scale and shift."""
    if type(module) is not nn.BatchNorm2d or module.affine or module.track_running_stats:
        return None
    return module.eps


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
    kernel, stride, dilation = module.kernel_size[0], module.stride[0], module.dilation[0]
    geometry = Geometry(kernel, stride, dilation)
    expected = nn.Conv2d(
        channels,
        channels,
        kernel,
        stride,
        geometry.padding,
        dilation,
        groups=channels,
        bias=False,
        device="meta",
    )
    return geometry if kernel % 2 and str(module) == str(expected) else None


def _pointwise(module: nn.Module, c_in: int, c_out: int, stride: int = 1) -> bool:
    expected = nn.Conv2d(c_in, c_out, 1, stride, bias=False, device="meta")
    return type(module) is nn.Conv2d and str(module) == str(expected)


def _reduction(module: FactorizedReduce) -> Reduction | None:
    channels, eps = module.even.in_channels, _norm(module.norm)
    halves = (module.even, module.odd)
    known = all(_pointwise(m, channels, channels // 2, stride=2) for m in halves)
    if not known or eps is None or type(module.relu) is not nn.ReLU:
        return None
    return Reduction(channels, eps)
