from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nni_darts.supernet.nodes import ChosenEdges, Nodes, recompute


class Counted(nn.Module):
    """How often it was run."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x.sin()


def cell(edge: nn.Module) -> Nodes:
    return Nodes([ChosenEdges([edge, nn.Identity()], [0, 1]), ChosenEdges([nn.Identity()], [2])])


def test_each_node_adds_a_state_to_those_before() -> None:
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    states = [a, b]
    out = cell(Counted())(states)
    assert len(states) == 2
    assert torch.equal(out[2], a.sin() + b)
    assert torch.equal(out[3], out[2])


def test_recomputed_in_the_backward_pass() -> None:
    edge = Counted()
    network = nn.Sequential(cell(edge))
    x = torch.randn(2, 3, requires_grad=True)
    (expected,) = torch.autograd.grad(network([x, x])[3].sum(), x)
    assert edge.calls == 1
    recompute(network)
    (got,) = torch.autograd.grad(network([x, x])[3].sum(), x)
    assert edge.calls == 3
    assert torch.equal(got, expected)
    with torch.no_grad():
        network([x, x])
    assert edge.calls == 4


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Linear(1, 1), "no cells of Nodes"),
        (
            nn.Sequential(cell(nn.BatchNorm1d(3))),
            "cell 0 counts statistics, 0.edges.0.running_mean",
        ),
    ],
)
def test_what_cannot_be_recomputed(network: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recompute(network)
