from __future__ import annotations

from typing import Any

import pytest
import spaces
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.space import model_context
from nni.nas.strategy import DARTS
from spaces import count
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet.mixed import MixedNode, Node
from nni_darts.supernet.nodes import ChosenEdges
from search_spaces import DartsCNN, operations


def test_a_node_sums_its_edges_and_has_no_alphas() -> None:
    supernet = UnrolledDARTS().mutate_model(DartsCNN(4, 3))
    node = next(m for m in supernet.modules() if isinstance(m, MixedNode))
    states = [torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)]
    expected = torch.zeros(2, 4, 8, 8)
    for edge, state in zip(node.edges, states, strict=True):
        weights = edge._arch_alpha.softmax(0)
        for weight, operation in zip(weights, edge, strict=True):
            expected = expected + weight * operation(state)
    torch.testing.assert_close(node(states), expected)
    own = [n for n, _ in node.named_parameters() if "_arch_alpha" in n]
    assert len(own) == 2


class Nodes(ModelSpace):
    """A space of the user's, made of our nodes."""

    def __init__(self) -> None:
        super().__init__()
        edges = [
            LayerChoice({"none": operations.Zero(1), "conv": nn.Conv2d(3, 3, 1)}, label=f"e_{j}")
            for j in range(3)
        ]
        self.node = Node(edges, 2, label="n")
        self.head = nn.Linear(3, spaces.CLASSES)

    @staticmethod
    def extra_oneshot_hooks(strategy: Any) -> list[Any]:
        return [MixedNode.mutate]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.node([x, 2 * x, 3 * x]).mean((2, 3)))


def test_a_frozen_node_has_the_chosen_edges_only() -> None:
    space = Nodes()
    sample = {"n": [2, 0], "e_0": "conv", "e_2": "conv"}
    frozen = space.freeze(sample)
    assert isinstance(frozen.node, ChosenEdges)
    assert frozen.node.sources == (2, 0)
    assert count(frozen.node) == 2 * (3 * 3 + 3)
    with model_context(sample | {"e_1": "none"}):
        assert count(Nodes().node) == 2 * (3 * 3 + 3)
    with pytest.raises(Exception, match="e_2"):
        space.freeze({"n": [2, 0], "e_0": "conv"})


def test_a_hook_may_come_with_the_strategy_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Nodes, "extra_oneshot_hooks")
    strategy = UnrolledDARTS(mutation_hooks=[MixedNode.mutate])
    spaces.search(Nodes(), strategy)
    assert isinstance(strategy.supernet.node, MixedNode)
    _, sample = strategy.top_k(1)[0]
    assert len(sample["n"]) == 2
    assert {sample[f"e_{j}"] for j in sample["n"]} == {"conv"}


def test_nnis_own_strategy_derives_our_nodes_by_strength() -> None:
    strategy = DARTS()
    supernet = strategy.mutate_model(DartsCNN(4, 3))
    with torch.no_grad():
        for alpha in strategy._arch_parameters.values():
            alpha.zero_()
        strategy._arch_parameters["normal_4_2"].copy_(torch.tensor([9.0, 5, 0, 0, 0, 0, 0, 0]))
        strategy._arch_parameters["normal_4_3"].copy_(torch.tensor([0.0, 0, 0, 0, 3, 0, 0, 0]))
        strategy._arch_parameters["normal_4_0"].copy_(torch.tensor([0.0, 0, 0, 2, 0, 0, 0, 0]))
    sample: dict[str, Any] = {}
    for module in supernet.modules():
        if hasattr(module, "export"):
            sample.update(module.export(sample))
    # Trap 4: edge 2 has the largest alpha, but next to `none` it is weak.
    assert sample["normal_4"] == [3, 0]
    assert sample["normal_4_3"] == "sep_conv_3x3"
    assert "none" not in sample.values()


def test_more_edges_than_predecessors(message: Any) -> None:
    def make() -> None:
        Node([nn.Identity(), nn.Identity()], 3, label="n")

    assert "has 2 predecessors and cannot keep 3" in message(ValueError, make)
