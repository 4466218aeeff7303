"""The limit of skip connections, on supernets: the reference's genotypes, and the ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import spaces
import torch
from pdarts import CASES, EDGES, KINDS, Case, by_input

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import Genotype
from nni_darts.search.skip_limit import SkipLimit
from nni_darts.supernet.architectures import top_k
from search_spaces import DartsCNN


def supernet(alphas: Mapping[str, Mapping[str, float]], num_nodes: int) -> Any:
    """Supernet in float64 whose edges have the operations and the alphas given."""
    strategy = UnrolledDARTS()
    names = {label: list(row) for label, row in alphas.items()}
    found = strategy.mutate_model(DartsCNN(2, 3, num_nodes=num_nodes, primitives=names))
    for label, row in alphas.items():
        values = torch.tensor(list(row.values()), dtype=torch.float64)
        strategy._arch_parameters[label].data = values
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_references_genotypes_at_every_limit(case: Case) -> None:
    alphas = {
        f"{kind}_{node}_{source}": case.alphas(2, kind)[node, source]
        for kind in KINDS
        for node, source in EDGES
    }
    searched = supernet(alphas, 4)
    for most, cells in case.genotypes().items():
        ((_, sample),) = SkipLimit(most)(searched, 1)
        genotype = Genotype.from_sample(sample)
        assert {kind: by_input(genotype[kind]) for kind in KINDS} == cells, most


# Two nodes; the normal cell would take four skip connections, the reduction cell all of its own.
SKIPS = {(2, 0): 2.0, (2, 1): 1.5, (3, 0): 1.0, (3, 1): 0.9, (3, 2): 0.5}
ALPHAS = {
    f"{kind}_{node}_{source}": {"none": 0.3, "skip_connect": skip, "avg_pool_3x3": 0.1 * source}
    for kind in KINDS
    for (node, source), skip in SKIPS.items()
}


def normal_skips(sample: Mapping[str, Any]) -> list[str]:
    return [label for label, o in sample.items() if o == "skip_connect" and "normal" in label]


def test_all_in_order_but_those_with_too_many() -> None:
    searched = supernet(ALPHAS, 2)
    ranked = SkipLimit(1)(searched, 60)
    # In turn: that of 3 from 1, of 3 from 2, which comes in its place, of 3 from 0, of 2 from 1.
    gone = {f"normal_{edge}" for edge in ("3_1", "3_2", "3_0", "2_1")}
    expected = [
        (score, sample)
        for score, sample in top_k(searched, 10_000)
        if not gone & set(normal_skips(sample)) and len(normal_skips(sample)) <= 1
    ]
    assert len(expected) > 60
    assert ranked == expected[:60]


def test_those_with_too_many_are_passed_over() -> None:
    # The best one has three; one more on an edge that has another operation first.
    last = {"none": 0.0, "skip_connect": 2.8, "avg_pool_3x3": 3.0}
    searched = supernet({**ALPHAS, "normal_3_2": last}, 2)
    every = top_k(searched, 200)
    fewer = [each for each in every if len(normal_skips(each[1])) <= 3]
    assert len(normal_skips(every[0][1])) == 3
    assert 60 < len(fewer) < len(every)
    assert SkipLimit(3)(searched, 60) == fewer[:60]
    assert fewer[:60] != every[:60]


def test_without_a_surplus_it_is_the_strongest() -> None:
    searched = supernet(ALPHAS, 2)
    assert SkipLimit(4)(searched, 20) == top_k(searched, 20)
    assert SkipLimit(3)(searched, 1) != top_k(searched, 1)


def test_by_name_it_serves_any_search_of_cells() -> None:
    torch.manual_seed(0)
    strategy = UnrolledDARTS(selection={"name": "skip_limit", "max_skips": 0})
    assert strategy.rule == SkipLimit(0)
    spaces.search(DartsCNN(4, 3, spaces.CLASSES, num_nodes=2), strategy)
    for _, sample in strategy.top_k(3):
        genotype = Genotype.from_sample(sample)
        assert all(e.operation != "skip_connect" for es in genotype["normal"].nodes for e in es)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="max_skips must be at least 0, got -1"):
        SkipLimit(-1)
    plain = UnrolledDARTS().mutate_model(spaces.Plain())
    with pytest.raises(ValueError, match="for spaces of normal and reduction cells"):
        SkipLimit()(plain, 1)
    only = {label: {"none": 0.0, "skip_connect": 1.0} for label in ALPHAS}
    with pytest.raises(ValueError, match="no architecture has at most 1 skip connections"):
        SkipLimit(1)(supernet(only, 2), 1)
