"""Parts of methods together: each pair ends a small search, and gives architectures."""

from __future__ import annotations

from typing import Any

import pytest
import spaces
import torch

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import Genotype
from search_spaces import DartsCNN

PRIMITIVES = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")
PC: dict[str, Any] = {"partial_channels": 2, "edge_weights": True}
PT = {"name": "perturbation", "epochs_between": 1, "metric": "loss"}
SUBNETS = {"name": "subnets", "count": 3, "metric": "loss"}
COMBINATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "PC-DARTS and DrNAS": (PC, {"relaxation": "dirichlet", "regularisers": ["kl"]}),
    "PC-DARTS and GDAS": (PC, {"relaxation": {"name": "gumbel", "tau": 1}}),
    "PC-DARTS and SDARTS": (PC, {"perturbation": "random_smoothing"}),
    "PC-DARTS and a skip limit": (PC, {"selection": {"name": "skip_limit", "max_skips": 1}}),
    "SDARTS and DARTS-PT": ({}, {"perturbation": "random_smoothing", "selection": PT}),
    "SDARTS-ADV and DrNAS": ({}, {"perturbation": "adversarial", "relaxation": "dirichlet"}),
    "beta decay and GDAS": ({}, {"regularisers": ["beta_decay"], "relaxation": "gumbel"}),
    "beta decay and DARTS-PT": ({}, {"regularisers": ["beta_decay"], "selection": PT}),
    "GDAS and subnets": ({}, {"relaxation": "gumbel", "selection": SUBNETS}),
}


@pytest.mark.parametrize("hypergradient", ["first_order", "exact"])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_together(name: str, hypergradient: str) -> None:
    of_space, of_strategy = COMBINATIONS[name]
    space = DartsCNN(4, 3, 10, num_nodes=2, primitives=PRIMITIVES, **of_space)
    strategy = UnrolledDARTS(hypergradient=hypergradient, arc_learning_rate=0.1, **of_strategy)
    loaders = {"train": spaces.loader(8, 8), "val": spaces.loader(8, 8, seed=1)}
    spaces.search(space, strategy, max_epochs=1, **loaders)
    ranked = strategy.top_k(2)
    assert ranked
    for _, sample in ranked:
        genotype = Genotype.from_sample(sample, operations=PRIMITIVES)
        assert space.freeze(sample)(torch.randn(2, 3, 8, 8)).shape == (2, 10)
        assert all(edge.operation != "none" for node in genotype.normal.nodes for edge in node)


@pytest.mark.parametrize("selection", [PT, SUBNETS], ids=["perturbation", "subnets"])
@pytest.mark.parametrize("of_space", [{"partial_channels": 2}, {"edge_weights": True}])
def test_selections_that_take_edges_away_need_whole_ones(
    of_space: dict[str, Any], selection: Any, message: Any
) -> None:
    space = DartsCNN(4, 3, 10, num_nodes=2, primitives=PRIMITIVES, **of_space)
    strategy = UnrolledDARTS(selection=selection)
    text = message(ValueError, spaces.search, space, strategy, max_epochs=1)
    assert text == (
        "the selection measures the supernet without some of its edges, and with partial channels "
        "or weights of edges these are never quite gone; take selection strongest"
    )
    assert strategy.oneshot_module.trainer.global_step == 0
