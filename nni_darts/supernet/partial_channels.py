"""Partial channels: an edge that mixes its operations on a part of the channels (PC-DARTS).

    y = shuffle_K(concat(o_bar(x_first), bypass(x_rest)))        [PC, Eq. 1]

x_first are the first C / K of the C channels; the bypass is the identity or, for a stride of 2, max
pooling. The shuffle hands channels of the bypass on to the operations of the next edges.

[PC] = arXiv 1907.05737.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nni_darts._common import limits
from nni_darts._common.checks import instance, size


class PartialChannels(nn.Module):
    """An edge of which only the first 1 / k of the channels go through the operation.

    In a model space it stands around the `LayerChoice` of an edge of a node. Frozen, it keeps the
    chosen operation on its part of the channels. A space whose networks are to have the operation
    on all channels makes them itself, as `search_spaces.DartsCNN` does.

    The published bypass of stride 2 drops the last row and column of an odd size, which does not
    fit the operations; here it keeps them. Even sizes are as published.

    Args:
        operation: from and to channels / k channels.
        channels: channels of the edge, of which k is a divisor.
        k: at least 2; the papers have 2 to 6.
        stride: of the operation, 1 or 2.

    Raises:
        ValueError: an argument is out of its range.
    """

    __constants__ = ("channels", "k")

    def __init__(self, operation: nn.Module, channels: int, k: int, stride: int = 1) -> None:
        super().__init__()
        instance("operation", operation, nn.Module, "a module")
        self.k = size("k", k, 2, limits.CHANNELS)
        self.channels = part_of(channels, self.k) * self.k
        stride = size("stride", stride, 1, 2)
        self.operation = operation
        self.bypass = nn.Identity() if stride == 1 else nn.MaxPool2d(2, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        part = self.channels // self.k
        first, rest = x.split([part, self.channels - part], 1)
        return shuffled(self.operation(first), self.bypass(rest), self.k)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, k={self.k}"


def part_of(channels: int, k: int, name: str = "k") -> int:
    """The channels / k that the operations of an edge work on; ValueError if k is no divisor."""
    channels = size("channels", channels, 1, limits.CHANNELS)
    if channels % k:
        known = [d for d in range(2, channels + 1) if channels % d == 0]
        near = sorted(known, key=lambda d: (abs(math.log(d / k)), d))[:3]
        raise ValueError(
            f"{name}={k} must divide the {channels} channels of an edge; choose "
            f"{' or '.join(map(str, sorted(near)))}"
        )
    return channels // k


def shuffled(first: Tensor, rest: Tensor, k: int) -> Tensor:
    """Join (N, C / k, H, W) and (N, C - C / k, H, W) to (N, C, H, W), the k groups interleaved.

    Channel c of group g becomes channel c * k + g; the groups are `first` and those of `rest`.
    """
    groups = [first, *rest.chunk(k - 1, 1)]
    return torch.stack(groups, 2).flatten(1, 2)


def choice_of(edge: nn.Module) -> nn.Module:
    """The choice of operations of an edge, which may be on a part of its channels."""
    return edge.operation if isinstance(edge, PartialChannels) else edge
