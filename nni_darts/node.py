"""A node of a discrete cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn


class ChosenEdges(nn.Module):
    """The sum of the chosen incoming edges: x_j = sum of edge(x_i) over the chosen sources i.

    Args:
        edges: one module per chosen edge.
        sources: for each of them the index of the state that it is applied to.
    """

    def __init__(self, edges: Sequence[nn.Module], sources: Sequence[int]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.sources = tuple(sources)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        outputs = [e(states[i]) for e, i in zip(self.edges, self.sources, strict=True)]
        return cast(Tensor, sum(outputs[1:], outputs[0]))

    def extra_repr(self) -> str:
        return f"sources={self.sources}"
