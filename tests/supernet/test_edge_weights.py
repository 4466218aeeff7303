"""Nodes whose edges are weighed by betas."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import spaces
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.space import model_context
from nni.nas.strategy import DARTS, RandomOneShot
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet import architectures
from nni_darts.supernet.mixed import MixedNode, Node
from nni_darts.supernet.nodes import ChosenEdges, Nodes
from nni_darts.supernet.partial_channels import PartialChannels
from search_spaces import DartsCNN
from search_spaces.operations import Zero


class Weighted(ModelSpace):
    """A space of the user's: two nodes of weighted edges on half of the channels."""

    def __init__(self, edge_weights: bool = True, second: str = "m") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.nodes = Nodes(
            [
                Node(self.edges("n", 2), 1, "n", edge_weights=edge_weights),
                Node(self.edges(second, 3), 2, second, edge_weights),
            ]
        )
        self.head = nn.Linear(4, spaces.CLASSES)

    def edges(self, label: str, count: int) -> list[nn.Module]:
        return [
            PartialChannels(
                LayerChoice(
                    {"none": Zero(1), "conv": nn.Conv2d(2, 2, 1), "same": nn.Identity()},
                    label=f"{label}_{i}",
                ),
                4,
                2,
            )
            for i in range(count)
        ]

    @staticmethod
    def extra_oneshot_hooks(strategy: Any) -> list[Any]:
        return [MixedNode.mutate]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        *_, last = self.nodes([x, 2 * x])
        return self.head(last.mean((2, 3)))


def weighted(fused: bool = True) -> tuple[UnrolledDARTS, Any]:
    strategy = UnrolledDARTS(fused=fused)
    net = strategy.mutate_model(Weighted())
    draws = torch.Generator().manual_seed(3)
    for parameter in strategy._arch_parameters.values():
        parameter.data = torch.randn(len(parameter), generator=draws)
    return strategy, net


def test_a_node_is_the_weighted_sum_of_its_edges() -> None:
    strategy, net = weighted()
    node = net.nodes[1]
    states = [torch.randn(2, 4, 5, 5) for _ in range(3)]
    e = torch.exp(strategy._arch_parameters["m"])
    expected = sum(e[i] / e.sum() * node.edges[i](states[i]) for i in range(3))
    torch.testing.assert_close(node(states), expected)


def test_betas_are_learnt_as_alphas_are() -> None:
    strategy = UnrolledDARTS()
    spaces.start(DartsCNN(4, 3, edge_weights=True), strategy, spaces.evaluator())
    strategy.oneshot_module.set_model(strategy.supernet)
    learnt = strategy.oneshot_module.arch_parameters()
    betas = [
        strategy._arch_parameters[f"{kind}_{i}"]
        for kind in ("normal", "reduce")
        for i in range(2, 6)
    ]
    assert len(learnt) == 28 + 8
    assert all(any(beta is each for each in learnt) for beta in betas)
    assert max(beta.abs().max().item() for beta in betas) < 0.006
    assert min(beta.abs().max().item() for beta in betas) > 0
    # Cells of a kind share them.
    nodes = [m for m in strategy.supernet.modules() if isinstance(m, MixedNode)]
    assert len(nodes) == 12
    assert len({id(node._arch_beta) for node in nodes}) == 8


def test_without_edge_weights_nothing_changes() -> None:
    nets = []
    for arguments in ({}, {"edge_weights": False, "partial_channels": 1}, {"edge_weights": True}):
        torch.manual_seed(0)
        nets.append(UnrolledDARTS().mutate_model(DartsCNN(4, 3, **arguments)))
        nets[-1].after = torch.rand(3)
    plain, off, on = (net.state_dict() for net in nets)
    assert list(plain) == list(off)
    assert not any("beta" in name for name in plain)
    assert all(torch.equal(plain[name], off[name]) for name in plain)
    # Nor does it draw anything: what comes after is the same, with edge weights too.
    assert all(torch.equal(plain[name], on[name]) for name in plain)
    assert torch.equal(nets[0].after, nets[2].after)
    assert architectures.edge_weights(nets[1]) == {}


def by_hand(strategy: UnrolledDARTS) -> list[tuple[float, dict[str, Any]]]:
    """All architectures of `Weighted`, best first."""
    logs = {
        label: [math.log(p) for p in alpha.detach().double().softmax(0).tolist()]
        for label, alpha in strategy._arch_parameters.items()
    }
    names = ("none", "conv", "same")
    found = []
    for first in range(2):
        for second in itertools.combinations(range(3), 2):
            edges = [("n", first), *(("m", i) for i in second)]
            for operations in itertools.product((1, 2), repeat=3):
                score = sum(
                    logs[f"{node}_{i}"][o] + logs[node][i]
                    for (node, i), o in zip(edges, operations, strict=True)
                )
                chosen = {f"{n}_{i}": names[o] for (n, i), o in zip(edges, operations, strict=True)}
                found.append((score, {**chosen, "n": {first}, "m": set(second)}))
    return sorted(found, key=lambda each: -each[0])


def test_top_k_equals_enumeration() -> None:
    strategy, net = weighted()
    expected = by_hand(strategy)
    ranked = architectures.top_k(net, 100)
    assert len(ranked) == len(expected) == 2 * 3 * 8
    for (score, sample), (by_hand_score, by_hand_sample) in zip(ranked, expected, strict=True):
        assert score == pytest.approx(by_hand_score, abs=1e-9)
        assert {**sample, "n": set(sample["n"]), "m": set(sample["m"])} == by_hand_sample
    exported: dict[str, Any] = {}
    for module in net.modules():
        if isinstance(module, MixedNode):
            exported |= module.export(exported)
    best = ranked[0][1]
    assert {label: exported[label] for label in best} == best


def test_betas_decide() -> None:
    strategy, net = weighted()
    for i in range(3):
        strategy._arch_parameters[f"m_{i}"].data = torch.tensor([0.0, 0.1 * i, 0.0])
    for betas, chosen in (([0.0, 0, 0], [2, 1]), ([3.0, 0, 1], [0, 2]), ([0.0, 9, 7], [1, 2])):
        strategy._arch_parameters["m"].data = torch.tensor(betas)
        assert architectures.top_k(net, 1)[0][1]["m"] == chosen
        assert net.nodes[1].export({})["m"] == chosen


def test_edge_weights_by_label() -> None:
    strategy, net = weighted()
    found = architectures.edge_weights(net)
    assert {node: list(row) for node, row in found.items()} == {
        "n": ["n_0", "n_1"],
        "m": ["m_0", "m_1", "m_2"],
    }
    expected = strategy._arch_parameters["m"].softmax(0).tolist()
    assert [weight.item() for weight in found["m"].values()] == pytest.approx(expected)
    # They are no operations': the mean entropy is of these alone.
    assert list(architectures.probabilities(net)) == ["n_0", "n_1", "m_0", "m_1", "m_2"]


def test_the_relaxation_of_operations_is_not_that_of_edges() -> None:
    _, net = weighted()
    before = [w.item() for w in architectures.edge_weights(net)["m"].values()]
    for edge in net.nodes[1].choices:
        edge._softmax = nn.Sigmoid()
    assert [w.item() for w in architectures.edge_weights(net)["m"].values()] == before


def test_a_search_moves_the_betas_and_freezes_to_the_sample() -> None:
    strategy = spaces.search(Weighted(), UnrolledDARTS(arc_learning_rate=0.1))
    assert (strategy._arch_parameters["m"].detach().abs() > 0.01).all()
    ((_, sample),) = strategy.top_k(1)
    frozen: Any = strategy.supernet.freeze(sample)
    assert all(type(node) is ChosenEdges for node in frozen.nodes)
    assert all(type(edge) is PartialChannels for node in frozen.nodes for edge in node.edges)
    assert not any("_arch" in name for name, _ in frozen.named_parameters())
    with model_context(sample):
        rebuilt = Weighted()
    rebuilt.load_state_dict(frozen.state_dict())
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(rebuilt(x), frozen(x))


def test_nnis_own_strategy_learns_them_too() -> None:
    net: Any = DARTS().mutate_model(Weighted())
    assert net.nodes[0]._arch_beta is not None
    assert len(architectures.edge_weights(net)) == 2


def test_a_copy_has_its_own_betas() -> None:
    _, net = weighted()
    copied = copy.deepcopy(net)
    with torch.no_grad():
        copied.nodes[1]._arch_beta.add_(torch.tensor([5.0, 0, 0]))
    x = torch.randn(2, 3, 5, 5)
    assert not torch.allclose(copied(x), net(x))


# Bad input


def test_a_single_edge_has_no_weight(message: Any) -> None:
    text = message(ValueError, Node, [nn.Identity()], 1, "n", True)
    assert text == (
        "edge_weights: node n has a single edge, whose weight would always be 1; leave "
        "edge_weights out there"
    )


def test_edge_weights_are_true_or_false(message: Any) -> None:
    text = message(ValueError, Node, [nn.Identity(), nn.Identity()], 1, "n", "yes")
    assert text.startswith("edge_weights must be")


def test_a_strategy_that_learns_no_weights(message: Any) -> None:
    text = message(TypeError, RandomOneShot().mutate_model, Weighted())
    assert text.startswith("edge_weights: node n needs a strategy that learns weights of choices")


def test_nodes_of_one_label_agree_on_edge_weights(message: Any) -> None:
    class Mixed(Weighted):
        def __init__(self) -> None:
            super().__init__()
            self.more = Nodes([Node(self.edges("n", 2), 1, "n")])

    net = UnrolledDARTS().mutate_model(Mixed())
    text = message(ValueError, architectures.top_k, net, 1)
    assert "the label n stands for choices that differ, 1 of 2 by weighted edges and 1 of 2" in text
