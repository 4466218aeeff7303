"""Memory layout of the images of a state: the channels of all edges side by side, last."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def repeated(x: Tensor, k: int) -> Tensor:
    """Channels repeated k times: (N, C, H, W) -> (N, k * C, H, W)."""
    n, c, h, w = x.shape
    last = x.permute(0, 2, 3, 1).unsqueeze(3).expand(n, h, w, k, c)
    return last.reshape(n, h, w, k * c).permute(0, 3, 1, 2)


def phases(x: Tensor, k: int) -> Tensor:
    """The four images of every second row and column, as batches: (4 * N, k * C, H / 2, W / 2).

    A convolution of dilation 2 and even padding never mixes them: on these it is a plain one, with
    half the padding. Height and width must be even, or statistics would count padding.
    """
    n, c, h, w = x.shape
    split = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, 1, c)
    ordered = split.permute(2, 4, 0, 1, 3, 5, 6).expand(2, 2, n, h // 2, w // 2, k, c)
    return ordered.reshape(4 * n, h // 2, w // 2, k * c).permute(0, 3, 1, 2)


def by_edge(y: Tensor, k: int) -> Tensor:
    """View by edge: (N, k * C, H, W) -> (k, N, H, W, C)."""
    n, kc, h, w = y.shape
    return y.permute(0, 2, 3, 1).view(n, h, w, k, kc // k).permute(3, 0, 1, 2, 4)


def add_phases(total: Tensor, y: Tensor) -> Tensor:
    """Sum of total (k, N, H, W, C) and y (4 * N, k * C, H / 2, W / 2), computed from `phases`."""
    k, n, h, w, c = total.shape
    split = y.permute(0, 2, 3, 1).view(2, 2, n, h // 2, w // 2, k, c)
    ordered = split.permute(5, 2, 3, 0, 4, 1, 6)
    return (total.view(k, n, h // 2, 2, w // 2, 2, c) + ordered).view(total.shape)


def every_second(x: Tensor) -> Tensor:
    """Pixels that a kernel of stride 2 stands on: (N, C, ceil(H / 2), ceil(W / 2))."""
    return x[:, :, ::2, ::2]


def shifted(x: Tensor) -> Tensor:
    """Pixels that a kernel of stride 2 leaves out, from (1, 1) on; zero beyond an odd edge."""
    return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1::2, 1::2]
