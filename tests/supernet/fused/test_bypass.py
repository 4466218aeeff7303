"""Fused cells of partial channels and of weighted edges equal the edges one by one, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from fused_cells import (
    CLASSES,
    OneCell,
    Squared,
    assert_equal,
    fused_cells,
    images,
    numbers,
    supernets,
)
from pc_darts import Reference
from torch import nn

from nni_darts.search.parts import HYPERGRADIENTS
from nni_darts.supernet.fused import run as fused_run
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.mixed import Node
from nni_darts.supernet.nodes import Nodes
from nni_darts.supernet.partial_channels import PartialChannels
from search_spaces import DartsCNN
from search_spaces.operations import search_operation

NAMES = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Plans of the cells that are run fused."""
    seen: list[Any] = []
    run = fused_run.run
    monkeypatch.setattr(fused_run, "run", lambda plan, x: seen.append(plan) or run(plan, x))
    return seen


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(("k", "edge_weights"), [(1, True), (2, False), (4, True)])
def test_the_network(
    size: int, k: int, edge_weights: bool, passes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fused_cells.images", partial(images, size))
    space = DartsCNN(8, 3, CLASSES, num_nodes=3, partial_channels=k, edge_weights=edge_weights)
    plain, fused = supernets(space)
    assert fused_cells(fused) == 3
    expected = numbers(plain)
    assert passes == []
    assert_equal(numbers(fused), expected)
    assert len(passes) == 3 * 3


@pytest.mark.parametrize("hypergradient", HYPERGRADIENTS)
def test_hypergradients(hypergradient: str, passes: list[Any]) -> None:
    space = DartsCNN(4, 3, CLASSES, num_nodes=2, partial_channels=2, edge_weights=True)
    plain, fused = supernets(space)
    for cell in (m for m in fused.modules() if isinstance(m, Nodes)):
        cell.recompute = hypergradient == "finite_difference"
    assert_equal(numbers(fused, hypergradient), numbers(plain, hypergradient))
    assert passes


def test_the_authors_network_is_run_fused(passes: list[Any]) -> None:
    reference = Reference(True)
    reference.loss("val")
    assert len(passes) == reference.golden["config"]["layers"]
    assert all(not plan.unfused for plan in passes)


def make(name: str, stride: int) -> nn.Module:
    return Squared(stride) if name == "own" else search_operation(name, 2, stride)


class Weighed(OneCell):
    """One cell with partial channels; some of its nodes, or all, weigh their edges."""

    def __init__(self, stride: int = 1, unknown: bool = False, some: bool = False) -> None:
        super().__init__([*NAMES, "own"] if unknown else NAMES, make, stride)
        for i, node in enumerate(self.nodes):
            edges = [
                PartialChannels(edge, 4, 2, stride if source < 2 else 1)
                for source, edge in enumerate(node.edges)
            ]
            self.nodes[i] = Node(edges, 2, f"cell_{i + 2}", edge_weights=i == 1 or not some)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_cell_of_the_users(stride: int, unknown: bool, passes: list[Any]) -> None:
    plain, fused = supernets(Weighed(stride, unknown, some=True))
    assert_equal(numbers(fused, "exact"), numbers(plain, "exact"))
    assert passes
    assert all(bool(plan.unfused) == unknown for plan in passes)


def edge(net: Any) -> Any:
    return net.nodes[1].edges[2]


def another_bypass(net: Any) -> None:
    for node in net.nodes:
        for each in node.edges:
            each.bypass = nn.AvgPool2d(3, 1, 1)


def one_other_bypass(net: Any) -> None:
    edge(net).bypass = nn.MaxPool2d(3, 1, 1)


def unknown_bypass(net: Any) -> None:
    edge(net).bypass = nn.Sequential(nn.Conv2d(2, 2, 1, dtype=torch.float64), nn.Tanh())
    with torch.no_grad():
        for parameter in edge(net).bypass.parameters():
            parameter.fill_(0.3)


def hook_on_an_edge(net: Any) -> None:
    edge(net).register_forward_hook(lambda _, __, y: 2 * y)


def hook_on_a_bypass(net: Any) -> None:
    edge(net).bypass.register_forward_hook(lambda _, __, y: 2 * y)


def method_of_an_edge(net: Any) -> None:
    forward = edge(net).forward
    edge(net).forward = lambda x: 3 * forward(x)


def other_betas(net: Any) -> None:
    net.nodes[1]._arch_beta = nn.Parameter(torch.tensor([2.0, 0, -1], dtype=torch.float64))


def no_betas(net: Any) -> None:
    net.nodes[1]._arch_beta = None


def an_edge_on_all_channels(net: Any) -> None:
    class Whole(nn.Module):
        def __init__(self, operation: nn.Module) -> None:
            super().__init__()
            self.operation = operation

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.operation(half) for half in x.chunk(2, 1)], 1)

    edge(net).bypass = Whole(nn.Softplus())


CHANGES: list[Callable[[Any], None]] = [
    another_bypass,
    one_other_bypass,
    unknown_bypass,
    hook_on_an_edge,
    hook_on_a_bypass,
    method_of_an_edge,
    other_betas,
    no_betas,
    an_edge_on_all_channels,
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts(change: Callable[[Any], None], when: str) -> None:
    plain, fused = supernets(Weighed())
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    unchanged = plain(x)
    if when == "before":
        fused = copy.deepcopy(plain)
        change(fused)
        fuse(fused)
    else:
        fused(x)
        change(fused)
    change(plain)
    assert not torch.allclose(plain(x), unchanged)
    assert_equal(numbers(fused), numbers(plain))


def test_another_split_counts() -> None:
    # Of the channels that there are: the same operations on other ones.
    plain, fused = supernets(Weighed())
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    fused(x)
    for net in (plain, fused):
        for node in net.nodes:  # type: ignore[union-attr]
            for each in node.edges:
                each.channels = 6
    for net in (plain, fused):
        with pytest.raises(RuntimeError, match="split"):
            net(x)
