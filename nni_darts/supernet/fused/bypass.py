"""Partial channels of a fused cell: what passes the operations by.

The shuffle of the channels is one linear map, the same on all edges, so that it runs once a node:

    x_t = shuffle_K(concat(sum_s b_s o_bar_s(x_s,first), sum_s b_s bypass_s(x_s,rest)))

b are the weights of the edges, 1 where a cell has none. Numbers are those of the edges one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Partial:
    """Partial channels of a cell."""

    channels: int
    k: int
    bypasses: Sequence[nn.Module]
    """Bypass of the edges that leave a state, by state."""


class Bypass:
    """The channels of a pass that the operations do not see, by the nodes that they go to."""

    def __init__(self, partial: Partial) -> None:
        self.partial = partial
        self._part = partial.channels // partial.k
        self._total: dict[int, Tensor] = {}

    def split(
        self, source: int, x: Tensor, targets: Sequence[int], weights: Sequence[Tensor] | None
    ) -> Tensor:
        """The channels of a state that the operations see; the others go to the targets.

        Args:
            source: state that the edges leave.
            x: its images (N, C, H, W).
            targets: states that they lead to.
            weights: weight of each edge, if they have any.
        """
        first: Tensor
        first, rest = x.split([self._part, self.partial.channels - self._part], 1)
        rest = self.partial.bypasses[source](rest)
        for i, target in enumerate(targets):
            y = rest if weights is None else weights[i] * rest
            self._total[target] = self._total[target] + y if target in self._total else y
        return first

    def join(self, target: int, first: Tensor) -> Tensor:
        """State (N, C, H, W) of a node, from what its operations gave (N, C / k, H, W)."""
        rest = self._total.pop(target).permute(0, 2, 3, 1)
        groups = [first.permute(0, 2, 3, 1), *rest.chunk(self.partial.k - 1, 3)]
        return torch.stack(groups, 4).flatten(3).permute(0, 3, 1, 2)
