"""Spaces in which every edge has operations of its own."""

from __future__ import annotations

from typing import Any

import pytest
import spaces
import torch

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.supernet.architectures import probabilities
from search_spaces import DartsCNN, DartsNetwork
from search_spaces.edge_operations import by_edge, names_in

LABELS = [
    f"{kind}_{node}_{i}" for kind in ("normal", "reduce") for node in (2, 3) for i in range(node)
]
SETS = (["none", "skip_connect", "sep_conv_3x3"], ["avg_pool_3x3", "none"], ["max_pool_3x3"])
DIFFERENT = {label: SETS[i % 3] for i, label in enumerate(LABELS)}


def space(primitives: Any) -> DartsCNN:
    torch.manual_seed(0)
    return DartsCNN(4, 3, spaces.CLASSES, num_nodes=2, primitives=primitives)


def test_one_list_for_all_is_the_same_list_for_each() -> None:
    same = [space(p) for p in (PRIMITIVES, {label: list(PRIMITIVES) for label in LABELS})]
    after = torch.get_rng_state()
    one, each = (s.state_dict() for s in same)
    assert list(one) == list(each)
    assert all(torch.equal(one[name], each[name]) for name in one)
    space(PRIMITIVES)
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("fused", [True, False])
def test_a_search_has_the_operations_of_each_edge(fused: bool) -> None:
    strategy = spaces.search(space(DIFFERENT), UnrolledDARTS(fused=fused))
    found = probabilities(strategy.supernet)
    assert {label: list(row) for label, row in found.items()} == DIFFERENT
    for _, sample in strategy.top_k(5):
        for label, names in DIFFERENT.items():
            assert sample[label] in names
        network = space(DIFFERENT).freeze(sample)
        assert isinstance(network, DartsNetwork)
        assert network(torch.zeros(2, 3, 8, 8)).shape == (2, spaces.CLASSES)


def test_cells_whose_edges_differ_run_plainly() -> None:
    x = torch.randn(2, 3, 8, 8)
    results = []
    for fused in (True, False):
        strategy = UnrolledDARTS(fused=fused)
        results.append(strategy.mutate_model(space(DIFFERENT))(x))
    assert torch.equal(*results)


def test_all_names_once() -> None:
    assert names_in(["a", "b"]) == ("a", "b")
    assert names_in(DIFFERENT) == (*SETS[0], "avg_pool_3x3", "max_pool_3x3")


@pytest.mark.parametrize(
    ("primitives", "expected"),
    [
        ({**DIFFERENT, "normal_2_3": ["none"]}, "primitives: unknown edge 'normal_2_3'"),
        ({"normal_2_0": SETS[0]}, "every edge of the space, 10 edges, got none for normal_2_1"),
        ({**DIFFERENT, "reduce_3_2": ["none"]}, "edge reduce_3_2: primitives must hold an oper"),
        ({**DIFFERENT, "reduce_3_2": ["sep_conv_3"]}, "edge reduce_3_2: primitives: unknown prim"),
        ({**DIFFERENT, "reduce_3_2": 3}, "edge reduce_3_2: primitives must be"),
        (3, "primitives must be"),
    ],
)
def test_mistakes(primitives: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as error:
        by_edge(primitives, LABELS)
    assert "\n" not in str(error.value)
