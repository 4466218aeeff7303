"""Nodes of a cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nni_darts._common.checks import instance, several


class ChosenEdges(nn.Module):
    """The sum of the chosen incoming edges: x_j = sum of edge(x_i) over the chosen sources i.

    Args:
        edges: one module per chosen edge.
        sources: index of the state that each edge is applied to.
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


class Nodes(nn.ModuleList):
    """Intermediate nodes of a cell, in order: each adds a state to those before it.

    `forward` takes the list of the cell's inputs and returns it with a state for each node. In a
    model space they hold `nni_darts.supernet.mixed.Node`s; then `UnrolledDARTS` can fuse the edges
    of the supernet and recompute the cell in the backward pass.
    """

    def __init__(self, nodes: Iterable[nn.Module] = ()) -> None:
        super().__init__(several("nodes", nodes, nn.Module, "modules"))

    recompute = False
    """True if the nodes' results are dropped and computed again in the backward pass."""

    def forward(self, states: Sequence[Tensor]) -> list[Tensor]:
        if self.recompute and torch.is_grad_enabled():
            again: list[Tensor] = checkpoint(self.run, states, use_reentrant=False)
            return again
        return self.run(states)

    def run(self, states: Sequence[Tensor]) -> list[Tensor]:
        states = list(states)
        for node in self:
            states.append(node(states))
        return states


def recompute(network: nn.Module) -> None:
    """Make the cells of a network recompute their content in the backward pass.

    Raises:
        ValueError: it has no `Nodes`, or one in which statistics are counted: they would be twice.
    """
    instance("network", network, nn.Module, "an nn.Module")
    cells = {name: m for name, m in network.named_modules() if isinstance(m, Nodes)}
    if not cells:
        raise ValueError("there are no cells of Nodes to recompute; leave out recompute")
    for name, cell in cells.items():
        if buffers := [buffer for buffer, _ in cell.named_buffers()]:
            raise ValueError(
                f"the cell {name} counts statistics, {buffers[0]}, and would count them twice; "
                "leave out recompute, or use norms with track_running_stats=False"
            )
        cell.recompute = True
