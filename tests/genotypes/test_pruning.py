"""Which operations an edge keeps, and the limit of skip connections."""

from __future__ import annotations

import pytest
from golden import load
from pdarts import CASES, EDGES, KINDS, Case, by_input

from nni_darts.genotypes.cell import Cell, Edge
from nni_darts.genotypes.pruning import cell_of_few_skips, likeliest, surplus_skips


@pytest.mark.parametrize("case", CASES)
def test_what_the_references_edges_keep(case: Case) -> None:
    for stage, keep in enumerate((5, 3)):
        for kind in KINDS:
            kept = likeliest(case.weights(stage, kind), keep)
            assert [list(kept[edge]) for edge in EDGES] == case.kept(stage, kind)


@pytest.mark.parametrize("case", CASES)
def test_the_references_genotypes_at_every_limit(case: Case) -> None:
    for most, cells in case.genotypes().items():
        cell = cell_of_few_skips(case.weights(2, "normal"), most)
        assert by_input(cell) == cells["normal"], most
    # The reduction cell has no limit.
    free = cell_of_few_skips(case.weights(2, "reduce"), 14, "reduce")
    assert by_input(free) == case.content["genotype_2_skips"]["reduce"]


def test_what_the_edges_of_drnas_keep() -> None:
    pruned = load("variants/drnas_nb201.pt")["prune"]
    weights = dict(enumerate(pruned["alphas_before"].softmax(-1).tolist()))
    rows = {edge: {str(o): w for o, w in enumerate(row)} for edge, row in weights.items()}
    kept = likeliest(rows, int(pruned["num_keep"]))
    mask = {
        e: tuple(str(o) for o in row.nonzero()[:, 0].tolist())
        for e, row in enumerate(pruned["mask"])
    }
    assert kept == mask


def test_each_edge_by_itself_and_none_like_the_others() -> None:
    weights = {
        "weak": {"none": 0.1, "a": 0.2, "b": 0.3},
        "strong": {"none": 0.8, "a": 0.7, "b": 0.6},
    }
    assert likeliest(weights, 2) == {"weak": ("a", "b"), "strong": ("none", "a")}
    assert likeliest(weights, 1) == {"weak": ("b",), "strong": ("none",)}
    assert likeliest(weights, 9) == {"weak": ("none", "a", "b"), "strong": ("none", "a", "b")}


def test_of_equal_operations_the_first_go() -> None:
    assert likeliest({0: {"a": 0.5, "b": 0.5, "c": 0.5}}, 2) == {0: ("b", "c")}


def test_at_least_one_stays() -> None:
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        likeliest({}, 0)


# Node 3 of a cell of two nodes: its edges from 0, 1 and 2.
ROWS = {
    (2, 0): {"skip_connect": 0.5, "conv": 0.4, "none": 0.1},
    (2, 1): {"skip_connect": 0.2, "conv": 0.6, "none": 0.2},
    (3, 0): {"skip_connect": 0.6, "conv": 0.1, "none": 0.3},
    (3, 1): {"skip_connect": 0.45, "conv": 0.05, "none": 0.5},
    (3, 2): {"skip_connect": 0.1, "conv": 0.3, "none": 0.6},
}


def cell(node_2: list[tuple[str, int]], node_3: list[tuple[str, int]]) -> Cell:
    nodes = (node_2, node_3)
    return Cell("normal", nodes, (2, 3), ["conv"])  # type: ignore[arg-type]


CONV_1, SKIP_0 = ("conv", 1), ("skip_connect", 0)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (3, cell([CONV_1, SKIP_0], [SKIP_0, ("skip_connect", 1)])),
        # The weakest goes, and with it its edge: another one is stronger than what it has left.
        (2, cell([CONV_1, SKIP_0], [SKIP_0, ("conv", 2)])),
        # Not renormalised: 0.4 of conv, which would be 0.8 of what is left.
        (1, cell([CONV_1, ("conv", 0)], [SKIP_0, ("conv", 2)])),
        (0, cell([CONV_1, ("conv", 0)], [("conv", 2), ("conv", 0)])),
    ],
)
def test_the_weakest_goes_and_all_is_chosen_again(most: int, expected: Cell) -> None:
    assert cell_of_few_skips(ROWS, most) == expected


def test_what_goes_may_bring_another_skip_connection() -> None:
    rows = {"a": 0.9, "b": 0.8, "c": 0.7}

    def two_strongest(removed: object) -> dict[str, float]:
        left = [edge for edge in rows if edge not in removed]  # type: ignore[operator]
        return {edge: rows[edge] for edge in left[:2]}

    assert surplus_skips(two_strongest, 2) == set()
    assert surplus_skips(two_strongest, 1) == {"b", "c"}


def test_a_node_without_enough_other_operations_is_refused() -> None:
    rows = {**ROWS, (2, 0): {"skip_connect": 0.5, "none": 0.5}}
    assert cell_of_few_skips(rows, 2).nodes[0] == (Edge("conv", 1), Edge("skip_connect", 0))
    with pytest.raises(ValueError, match="node 2 needs 2 edges with an operation besides none and"):
        cell_of_few_skips(rows, 0)
    with pytest.raises(ValueError, match="most must be at least 0, got -1"):
        cell_of_few_skips(ROWS, -1)
