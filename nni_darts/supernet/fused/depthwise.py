"""Depthwise convolution: same numbers as the library's, faster where the library is slow.

Three bilinear maps, each the derivative of the other two, so that any order of differentiation
stays among them:

    conv(x, w)      y = w * x          dx = spread(dy, w)    dw = correlate(x, dy)
    spread(y, w)    x = w^T * y        dy = conv(dx, w)      dw = correlate(dx, y)
    correlate(x, y) w = <x, y>         dx = spread(y, dw)    dy = conv(x, dw)

The library differentiates a grouped convolution twice by a loop over its groups; and on the CPU its
weight gradient of a kernel wider than three columns is up to 25 times slower than that of three. So
`correlate` goes in blocks of at most three columns there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Geometry:
    """Shape of a square, odd kernel over zero-padded images; stride 1 keeps their size."""

    kernel: int
    stride: int = 1
    dilation: int = 1

    @property
    def padding(self) -> int:
        return self.dilation * (self.kernel - 1) // 2


def depthwise(x: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
    """Depthwise convolution: x (N, C, H, W), w (C, 1, k, k) -> (N, C, H', W')."""
    if torch.is_autocast_enabled(x.device.type):
        # Inside, forward and backward must meet the same types.
        dtype = torch.get_autocast_dtype(x.device.type)
        x, w = x.to(dtype), w.to(dtype)
    y: Tensor = _Conv.apply(x, w, geometry)
    return y


class _Bilinear(torch.autograd.Function):
    """Bilinear map that keeps of its two arguments only what the wanted gradients need."""

    @staticmethod
    def keep(ctx: Any, first: Tensor, second: Tensor, geometry: Geometry) -> None:
        first_needed, second_needed, *_ = ctx.needs_input_grad
        ctx.save_for_backward(first if second_needed else None, second if first_needed else None)
        ctx.geometry = geometry


class _Conv(_Bilinear):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
        _Bilinear.keep(ctx, x, w, geometry)
        ctx.size = x.shape[2:]
        g = geometry
        return F.conv2d(x, w, None, g.stride, g.padding, g.dilation, len(w))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, w = ctx.saved_tensors
        dx = None if w is None else _Spread.apply(dy, w, ctx.geometry, ctx.size)
        dw = None if x is None else _Correlate.apply(x, dy, ctx.geometry)
        return dx, dw, None


class _Spread(_Bilinear):
    @staticmethod
    def forward(ctx: Any, y: Tensor, w: Tensor, geometry: Geometry, size: torch.Size) -> Tensor:
        _Bilinear.keep(ctx, y, w, geometry)
        # Never read, but the layout of its gradient follows it.
        return _library(y, _empty_like(y, size), w, geometry, of_input=True)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> Any:
        y, w = ctx.saved_tensors
        dy = None if w is None else _Conv.apply(dx, w, ctx.geometry)
        dw = None if y is None else _Correlate.apply(dx, y, ctx.geometry)
        return dy, dw, None, None


class _Correlate(_Bilinear):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
        _Bilinear.keep(ctx, x, y, geometry)
        ctx.size = x.shape[2:]
        return correlate(x, y, geometry)

    @staticmethod
    def backward(ctx: Any, dw: Tensor) -> Any:
        x, y = ctx.saved_tensors
        dx = None if y is None else _Spread.apply(y, dw, ctx.geometry, ctx.size)
        dy = None if x is None else _Conv.apply(x, dw, ctx.geometry)
        return dx, dy, None


def correlate(x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
    """The weight gradient (C, 1, k, k) of `depthwise`: x (N, C, H, W), y (N, C, H', W')."""
    k, stride, dilation, padding = (
        geometry.kernel,
        geometry.stride,
        geometry.dilation,
        geometry.padding,
    )
    if x.device.type != "cpu" or dilation > 1 or k <= 3:
        return _library(y, x, x.new_empty((x.shape[1], 1, k, k)), geometry, of_input=False)
    # Column j of the kernel meets the images from column j - padding on; outside they are zero.
    width = (y.shape[3] - 1) * stride
    blocks = []
    for first in range(0, k, 3):
        columns = min(3, k - first)
        left, right = padding - first, first + columns + width - padding - x.shape[3]
        block = x.new_empty((x.shape[1], 1, k, columns))
        part = F.pad(x, (left, right))  # a negative number crops
        blocks.append(_convolution_backward(y, part, block, stride, (padding, 0), 1, False))
    return torch.cat(blocks, 3)


def _empty_like(y: Tensor, size: torch.Size) -> Tensor:
    """Empty tensor of another height and width, in the same memory format."""
    channels_last = y.is_contiguous(memory_format=torch.channels_last)
    return torch.empty(
        (*y.shape[:2], *size),
        dtype=y.dtype,
        device=y.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )


def _library(y: Tensor, x: Tensor, w: Tensor, g: Geometry, *, of_input: bool) -> Tensor:
    return _convolution_backward(y, x, w, g.stride, (g.padding,) * 2, g.dilation, of_input)


def _convolution_backward(
    y: Tensor,
    x: Tensor,
    w: Tensor,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    of_input: bool,
) -> Tensor:
    found = torch.ops.aten.convolution_backward(
        y,
        x,
        w,
        None,
        [stride] * 2,
        padding,
        [dilation] * 2,
        False,
        [0, 0],
        x.shape[1],
        [of_input, not of_input, False],
    )
    gradient: Tensor = found[0] if of_input else found[1]
    return gradient
