from __future__ import annotations

from dataclasses import replace

import pytest
from histories import reports

from nni_darts.genotypes.cell import RNN_PRIMITIVES
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.published import get
from nni_darts.history.cells import cell_of, derived, operations_of, skips, strengths_of
from nni_darts.history.flat import from_flat
from nni_darts.history.gaps import gaps
from nni_darts.history.record import CellEdge


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


def test_operations_come_in_their_order() -> None:
    edges = {(2, 0): {"none": 0.5, "skip_connect": 0.5}, (2, 1): {"tanh": 0.5, "none": 0.5}}
    assert operations_of(edges) == ["none", "skip_connect", "tanh"]


def test_the_weights_of_edges_decide_which_are_kept() -> None:
    record = from_flat(reports(1)[0])
    for node in record.cells["normal"]:
        assert strengths_of(record, "normal")[node] > 0
    without, (kept, _) = cell_of(record, "normal"), cell_of(record, "normal").nodes[3]
    weights = {CellEdge("normal", 5, source): float(source != kept.source) for source in range(5)}
    weighed = replace(record, edge_weights=weights)
    cell = cell_of(weighed, "normal")
    assert cell.nodes[:3] == without.nodes[:3]
    assert kept.source not in [edge.source for edge in cell.nodes[3]]
    assert derived(weighed).normal == cell
    assert strengths_of(weighed, "normal")[5, kept.source] == 0
