from __future__ import annotations

import numpy as np
import pytest
from histories import reports

from nni_darts.genotypes.cell import PRIMITIVES, RNN_PRIMITIVES
from nni_darts.genotypes.derivation import derive, strength
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.published import get
from nni_darts.history.cells import derived, derived_cell, operations_of, skips, strengths
from nni_darts.history.flat import from_flat
from nni_darts.history.gaps import gaps


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
    genotype = derived(from_flat(report))
    assert isinstance(genotype, Genotype)
    assert [len(cell.nodes) for cell in genotype.cells] == [4, 4]
    (report,) = reports(1, ["recurrent"], 8, RNN_PRIMITIVES)
    assert len(derived(from_flat(report)).recurrent.nodes) == 8
    (report,) = reports(1, ["normal"])
    with pytest.raises(ValueError, match="one normal and one reduce cell"):
        derived(from_flat(report))


def test_operations_of_a_user_s_own_keep_their_short_names() -> None:
    (report,) = reports(1, primitives=["none", "magic_conv_9x9"])
    operations = {
        edge.operation for node in derived(from_flat(report)).normal.nodes for edge in node
    }
    assert operations == {"magic_c"}
    assert gaps([from_flat(report)]) == ["unknown operations keep their short names: magic_c"]


def test_skips_of_the_normal_cell() -> None:
    skip, pool = ["skip_connect", 0], ["max_pool_3x3", 1]
    cells = {"normal_concat": [2], "reduce_concat": [2], "reduce": [skip, skip]}
    assert skips(Genotype.parse(str({**cells, "normal": [skip, pool]}).replace("'", '"'))) == 1
    assert skips(derived(from_flat(reports(1, ["recurrent"], 8, RNN_PRIMITIVES)[0]))) == 0


def test_skips_are_those_of_the_normal_cell() -> None:
    assert skips(get("DARTS_V2")) == 2
    assert skips(get("DARTS_V1")) == 3
    assert skips(get("RNN_DARTS_V2")) == 0
