"""The operations of the DARTS cell (paper, section 3.1.1), by name.

An operation is made by `OPERATIONS[name](channels, stride, norm)`: it keeps the number of channels
and divides height and width by the stride (1 or 2, rounding up). To search over one of your own,
add it to `OPERATIONS` and name it in the space's `primitives`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nni_darts._common.checks import PROBABILITY, number, texts
from nni_darts._common.messages import unknown

Norm = Callable[[int], nn.Module]
"""Function from a number of channels to their normalisation."""
Operation = Callable[[int, int, Norm], nn.Module]

network_norm: Norm = nn.BatchNorm2d
# Without scale and shift, which would compete with alpha (facts of the reference code), and with
# the statistics of the batch at all times (paper, A.1.1): running ones would mix architectures.
search_norm: Norm = partial(nn.BatchNorm2d, affine=False, track_running_stats=False)


class Zero(nn.Module):
    """The operation `none`: no connection."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class DropPath(nn.Module):
    """Drop each image of a training batch with probability `p`; divide the others by 1 - p.

    The mean over many batches is that of the input. The identity in evaluation, and for p = 0.
    Our own, though torchvision has one: a trained network must run where torch alone is installed.
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.p = number("p", p, PROBABILITY)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty((x.shape[0], *[1] * (x.dim() - 1))).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class FactorizedReduce(nn.Module):
    """Halve height and width without losing pixels: two 1x1 convolutions, shifted by a pixel.

    The reference is defined for even sizes; here an odd size is padded by one at the far edge.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        if out_channels % 2:
            raise ValueError(
                f"channels must be divisible by 2, got {out_channels}; choose an even number"
            )
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.norm = norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        shifted = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        halves = torch.cat([self.even(x), self.odd(shifted)], dim=1)
        return cast(Tensor, self.norm(halves))


def relu_conv_norm(
    in_channels: int, out_channels: int, norm: Norm, kernel: int = 1, stride: int = 1
) -> nn.Sequential:
    """ReLU, a convolution to another number of channels, normalisation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, norm(out_channels))


def depthwise_separable(
    channels: int, kernel: int, stride: int, norm: Norm, dilation: int = 1
) -> nn.Sequential:
    """ReLU, depthwise and pointwise convolution, normalisation."""
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(
        channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
    )
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(nn.ReLU(), depthwise, pointwise, norm(channels))


def none(channels: int, stride: int, norm: Norm) -> nn.Module:
    return Zero(stride)


def max_pool_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    return nn.MaxPool2d(3, stride, padding=1)


def avg_pool_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def skip_connect(channels: int, stride: int, norm: Norm) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, norm)


def sep_conv(kernel: int, channels: int, stride: int, norm: Norm) -> nn.Module:
    """The separable convolution, always applied twice; the first has the stride."""
    first = depthwise_separable(channels, kernel, stride, norm)
    return nn.Sequential(*first, *depthwise_separable(channels, kernel, 1, norm))


def dil_conv(kernel: int, channels: int, stride: int, norm: Norm) -> nn.Module:
    return depthwise_separable(channels, kernel, stride, norm, dilation=2)


def conv_7x1_1x7(channels: int, stride: int, norm: Norm) -> nn.Module:
    row = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
    column = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
    return nn.Sequential(nn.ReLU(), row, column, norm(channels))


OPERATIONS: dict[str, Operation] = {
    "none": none,
    "max_pool_3x3": max_pool_3x3,
    "avg_pool_3x3": avg_pool_3x3,
    "skip_connect": skip_connect,
    "sep_conv_3x3": partial(sep_conv, 3),
    "sep_conv_5x5": partial(sep_conv, 5),
    "sep_conv_7x7": partial(sep_conv, 7),
    "dil_conv_3x3": partial(dil_conv, 3),
    "dil_conv_5x5": partial(dil_conv, 5),
    "conv_7x1_1x7": conv_7x1_1x7,
}


def network_operation(name: str, channels: int, stride: int) -> nn.Module:
    """The operation as it stands in a discrete network; ValueError for an unknown name."""
    if name not in OPERATIONS:
        raise ValueError(unknown("primitive", name, OPERATIONS))
    return OPERATIONS[name](channels, stride, network_norm)


def search_operation(name: str, channels: int, stride: int) -> nn.Module:
    """The operation as it stands in the supernet: pools are normalised like everything else."""
    operation = OPERATIONS[name](channels, stride, search_norm)
    if isinstance(operation, nn.MaxPool2d | nn.AvgPool2d):
        return nn.Sequential(operation, search_norm(channels))
    return operation


def check_primitives(primitives: Sequence[str], known: Collection[str] = OPERATIONS) -> None:
    """Raise ValueError unless the primitives are known, distinct and leave something to choose."""
    for name in texts("primitives", primitives):
        if name not in known:
            raise ValueError(f"primitives: {unknown('primitive', name, known)}")
    if len(set(primitives)) < len(primitives):
        raise ValueError(f"primitives must be distinct, got {list(primitives)}")
    if not set(primitives) - {"none"}:
        raise ValueError(f"primitives must hold an operation besides none, got {list(primitives)}")
