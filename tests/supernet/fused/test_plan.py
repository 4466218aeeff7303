from __future__ import annotations

from typing import Any

import pytest
import torch
from fused_cells import OneCell
from torch import nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet.fused.plan import Kernels, Plan, make_plan
from nni_darts.supernet.nodes import Nodes


def nodes_of(*names: str) -> Any:
    """Three nodes after two inputs in a supernet: 9 edges of these operations."""
    supernet: Any = UnrolledDARTS(fused=False).mutate_model(OneCell(names))
    return supernet.nodes


def plan_of(nodes: Any) -> Plan:
    plan = make_plan(nodes)
    assert plan is not None
    return plan


def test_kernels_come_back_by_shape_in_the_order_they_were_added() -> None:
    kernels = Kernels()
    small = [nn.Conv2d(4, 2, 1) for _ in range(3)]
    large = nn.Conv2d(4, 2, 3)
    places = [kernels.add(small[:1]), kernels.add([large]), kernels.add(small[1:])]
    assert places == [((2, 4, 1, 1), 0), ((2, 4, 3, 3), 0), ((2, 4, 1, 1), 1)]
    joined = kernels.joined()
    expected = [small[0].weight, large.weight, torch.cat([c.weight for c in small[1:]])]
    for (shape, place), weight in zip(places, expected, strict=True):
        assert torch.equal(joined[shape][place], weight)


def test_edges_are_numbered_by_source_and_run_by_target() -> None:
    nodes = nodes_of("none", "sep_conv_3x3")
    plan = plan_of(nodes)
    assert [(s.first, s.targets) for s in plan.sources] == [
        (0, (2, 3, 4)),
        (3, (2, 3, 4)),
        (6, (3, 4)),
        (8, (4,)),
    ]
    assert [layer.label for layer in plan.layers][:4] == [
        "cell_2_0",
        "cell_3_0",
        "cell_4_0",
        "cell_2_1",
    ]
    by_target = [plan.layers[edge].label for edge in plan.target_order]
    assert by_target == [f"cell_{t}_{s}" for t in range(2, 5) for s in range(t)]


def test_operations_lie_by_what_they_are() -> None:
    plan = plan_of(nodes_of("none", "own", "sep_conv_3x3", "max_pool_3x3", "skip_connect"))
    for source in plan.sources:
        assert [chains.operation for chains in source.chains] == [2]
        assert [len(chains.kernels) for chains in source.chains] == [2]
        assert [feature.operation for feature in source.features] == [3, 4]
        assert [type(feature.pool) for feature in source.features] == [
            nn.MaxPool2d,
            type(None),
        ]
    found = {
        (target, source, o)
        for target, entries in plan.unfused.items()
        for source, _, o, _ in entries
    }
    assert found == {(target, source, 1) for target in range(2, 5) for source in range(target)}


@pytest.mark.parametrize("names", [("own",), ("none",)])
def test_no_plan_where_nothing_runs_together(names: tuple[str, ...]) -> None:
    assert make_plan(nodes_of(*names)) is None
    assert make_plan(Nodes()) is None


@pytest.mark.parametrize("which", ["node", "edge"])
def test_no_plan_for_what_somebody_watches(which: str) -> None:
    nodes = nodes_of("none", "sep_conv_3x3")
    (nodes[1] if which == "node" else nodes[1].edges[0]).register_forward_hook(lambda *_: None)
    assert make_plan(nodes) is None


def test_no_plan_where_an_edge_is_missing() -> None:
    nodes = nodes_of("none", "sep_conv_3x3")
    del nodes[1].edges[2]
    assert make_plan(nodes) is None
