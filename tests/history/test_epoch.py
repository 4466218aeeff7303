from __future__ import annotations

import math

import numpy as np
import pytest
from histories import reports

from nni_darts.genotypes.cell import OPERATIONS, PRIMITIVES, RNN_PRIMITIVES
from nni_darts.genotypes.derivation import derive, strength
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.published import get
from nni_darts.history.epoch import (
    alphas_of,
    derived,
    derived_cell,
    gaps,
    operations_of,
    skips,
    strengths,
    validation,
)
from nni_darts.runs.reporter import short_keys

DARTS = ("normal", "reduce")


def test_short_keys_are_read_back() -> None:
    labels = {
        "normal_2_0": list(OPERATIONS),
        "reduce_5_4": list(OPERATIONS),
        "recurrent_1_0": list(OPERATIONS),
    }
    keys = short_keys(labels)
    row = {name: i / 100 for i, name in enumerate(OPERATIONS)}
    report = {key: row[name] for (_, name), key in keys.items()}
    assert alphas_of({**report, "epoch": 3, "entropy": 0.1, "x y": 0.2}) == {
        "normal": {(2, 0): row},
        "reduce": {(5, 4): row},
        "recurrent": {(1, 0): row},
    }


def test_edges_come_by_node_and_source() -> None:
    keys = ["n3<2 skip", "n2<1 skip", "n10<0 skip", "n3<0 skip"]
    (edges,) = alphas_of(dict.fromkeys(keys, 0.5)).values()
    assert list(edges) == [(2, 1), (3, 0), (3, 2), (10, 0)]


@pytest.mark.parametrize("key", ["n2<2 skip", "n1<0 skip", "x2<0 skip", "n2<0", "n200<0 skip"])
def test_what_is_no_edge_is_left_aside(key: str) -> None:
    assert alphas_of({key: 0.5}) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 2.0, None, "x", ""])
def test_what_is_no_weight_is_left_aside(value: object) -> None:
    assert alphas_of({"n2<0 skip": value, "n2<0 sep3": 1.0}) == {
        "normal": {(2, 0): {"sep_conv_3x3": 1.0}}
    }


@pytest.mark.parametrize(
    ("kind", "primitives", "inputs", "nodes"),
    [("normal", PRIMITIVES, 2, 4), ("recurrent", RNN_PRIMITIVES, 1, 8)],
)
def test_the_derived_cell_is_that_of_the_alphas(
    kind: str, primitives: tuple[str, ...], inputs: int, nodes: int
) -> None:
    rng = np.random.default_rng(0)
    edges = [(node, source) for node in range(inputs, inputs + nodes) for source in range(node)]
    for _ in range(20):
        alphas = 3 * rng.standard_normal((len(edges), len(primitives)))
        weights = np.exp(alphas) / np.exp(alphas).sum(axis=1, keepdims=True)
        rows = {
            edge: dict(zip(primitives, row, strict=True))
            for edge, row in zip(edges, weights.tolist(), strict=True)
        }
        assert derived_cell(kind, rows) == derive(alphas, primitives, kind=kind)
        expected = strength(alphas, primitives).values
        assert list(strengths(rows).values()) == pytest.approx(expected.tolist())


def test_a_cell_derived_by_hand() -> None:
    sure = {"none": 0.1, "skip_connect": 0.2, "sep_conv_3x3": 0.7}
    unsure = {"none": 0.8, "skip_connect": 0.15, "sep_conv_3x3": 0.05}
    even = {"none": 0.2, "skip_connect": 0.5, "sep_conv_3x3": 0.3}
    edges = {(2, 0): unsure, (2, 1): sure, (3, 0): unsure, (3, 1): even, (3, 2): sure}
    cell = derived_cell("normal", edges)
    assert cell.nodes == (
        (("sep_conv_3x3", 1), ("skip_connect", 0)),
        (("sep_conv_3x3", 2), ("skip_connect", 1)),
    )
    assert strengths(edges)[3, 0] == 0.15
    assert operations_of(edges) == ["none", "skip_connect", "sep_conv_3x3"]


def test_weights_that_were_rounded_to_nothing() -> None:
    gone = {"none": 1.0, "skip_connect": 0.0}
    cell = derived_cell("normal", {(2, 0): gone, (2, 1): gone})
    assert [edge.source for edge in cell.nodes[0]] == [0, 1]
    nothing = {"none": 0.0, "skip_connect": 0.0}
    derived_cell("normal", {(2, 0): nothing, (2, 1): nothing})


def test_edges_without_weights_are_never_chosen() -> None:
    row = {"none": 0.5, "skip_connect": 0.5}
    cell = derived_cell("normal", {(2, 0): row, (3, 0): row, (3, 2): row})
    assert [[edge.source for edge in node] for node in cell.nodes] == [[0], [0, 2]]
    with pytest.raises(ValueError, match="no weights of the edges into node 2"):
        derived_cell("normal", {(3, 0): row})
    with pytest.raises(ValueError, match="no weights of operations other than none"):
        derived_cell("normal", {(2, 0): {"none": 1.0}})


def test_the_genotype_of_an_epoch() -> None:
    (report,) = reports(1)
    genotype = derived(report)
    assert isinstance(genotype, Genotype)
    assert [len(cell.nodes) for cell in genotype.cells] == [4, 4]
    (report,) = reports(1, ["recurrent"], 8, RNN_PRIMITIVES)
    assert len(derived(report).recurrent.nodes) == 8
    (report,) = reports(1, ["normal"])
    with pytest.raises(ValueError, match="one normal and one reduce cell"):
        derived(report)


def test_operations_of_a_user_s_own_keep_their_short_names() -> None:
    (report,) = reports(1, primitives=["none", "magic_conv_9x9"])
    operations = {edge.operation for node in derived(report).normal.nodes for edge in node}
    assert operations == {"magic_c"}
    assert gaps([report]) == ["unknown operations keep their short names: magic_c"]


def test_skips_of_the_normal_cell() -> None:
    skip, pool = ["skip_connect", 0], ["max_pool_3x3", 1]
    cells = {"normal_concat": [2], "reduce_concat": [2], "reduce": [skip, skip]}
    assert skips(Genotype.parse(str({**cells, "normal": [skip, pool]}).replace("'", '"'))) == 1
    assert skips(derived(reports(1, ["recurrent"], 8, RNN_PRIMITIVES)[0])) == 0


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"default": 0.75, "train_acc": 0.5}, 0.75),
        ({"default": 0.75, "train_acc": 0.75}, None),  # trained without validation data
        ({"default": 0.75, "train_acc": 0.75, "val_acc": 0.75}, 0.75),
        ({"default": 61.2}, None),  # of an accuracy nothing
        ({"default": 61.2, "train_ppl": 50.0}, 61.2),
        ({"default": 61.2, "train_ppl": 61.2}, None),
        ({"default": 0.5, "train_ppl": 61.2}, None),
        ({"default": math.inf, "train_ppl": 61.2}, None),
        ({"default": math.nan}, None),
        ({"default": "?"}, None),
        ({}, None),
    ],
)
def test_the_validation_metric(report: dict[str, object], expected: float | None) -> None:
    assert validation(report) == expected


def test_a_whole_history_lacks_nothing() -> None:
    assert gaps(reports(3)) == []
    assert gaps(reports(2, ["recurrent"], 8, RNN_PRIMITIVES)) == []
    assert gaps([]) == []


def test_what_a_history_lacks() -> None:
    made = reports(12)
    del made[10], made[4:7], made[0]
    assert gaps(made) == ["no report of epochs 1, 5-7, 11"]

    made = reports(3)
    made[1]["n2<0 skip"] = math.nan
    assert gaps(made) == ["weights are missing in epoch 2"]

    made = [{k: v for k, v in row.items() if not k.startswith(("r", "n3<1"))} for row in reports(2)]
    assert gaps(made) == [
        "no weights of these edges of the normal cell: 3<1",
        "no weights of the reduce cell",
    ]


def test_skips_are_those_of_the_normal_cell() -> None:
    assert skips(get("DARTS_V2")) == 2
    assert skips(get("DARTS_V1")) == 3
    assert skips(get("RNN_DARTS_V2")) == 0
