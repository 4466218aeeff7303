from __future__ import annotations

import pytest

from nni_darts.genotypes import published
from nni_darts.genotypes.cell import Cell
from nni_darts.pictures.cell_graph import graph_of, label_lines, state_name


def test_the_graph_has_the_edges_of_the_cell() -> None:
    graph = graph_of(published.get("DARTS_V2").normal)
    ends = {(link.source, link.target, link.operation) for link in graph.links}
    assert ends == {
        ("c_{k-2}", "0", "sep_conv_3x3"),
        ("c_{k-1}", "0", "sep_conv_3x3"),
        ("c_{k-2}", "1", "sep_conv_3x3"),
        ("c_{k-1}", "1", "sep_conv_3x3"),
        ("c_{k-1}", "2", "sep_conv_3x3"),
        ("c_{k-2}", "2", "skip_connect"),
        ("c_{k-2}", "3", "skip_connect"),
        ("0", "3", "dil_conv_3x3"),
        *((str(node), "c_{k}", None) for node in range(4)),
    }
    assert {box.name: box.rank for box in graph.boxes} == {
        **{"c_{k-2}": 0, "c_{k-1}": 0, "0": 1, "1": 1, "2": 1, "3": 2, "c_{k}": 3}
    }


def test_the_graph_of_a_recurrent_cell() -> None:
    graph = graph_of(published.get("RNN_DARTS_V2").recurrent)
    names = [box.name for box in graph.boxes]
    assert names[:3] == ["x_{t}", "h_{t-1}", "0"]
    assert names[-1] == "h_{t}"
    assert [box.role for box in graph.boxes] == ["input", "input", *["node"] * 9, "output"]
    links = {(link.source, link.target, link.operation) for link in graph.links}
    assert {("x_{t}", "0", None), ("h_{t-1}", "0", None), ("0", "1", "sigmoid")} <= links
    assert {source for source, target, _ in links if target == "h_{t}"} == set("12345678")


def test_only_nodes_in_concat_lead_to_the_output() -> None:
    cell = Cell("normal", [[("skip_connect", 0)], [("skip_connect", 2)]], [3])
    assert [k.source for k in graph_of(cell).links if k.target == "c_{k}"] == ["1"]
    assert state_name("normal", 3) == "1"


def test_two_edges_from_one_source_are_two_links() -> None:
    edges = [k.edge for k in graph_of(published.get("NASNet").normal).links if k.edge]
    assert len(edges) == 10
    assert len(set(edges)) < 10


@pytest.mark.parametrize(
    ("operation", "lines"),
    [
        ("sep_conv_3x3", ["sep_conv", "3x3"]),
        ("skip_connect", ["skip", "connect"]),
        ("conv_7x1_1x7", ["conv", "7x1_1x7"]),
        ("identity", ["identity"]),
        ("withoutanyline", ["withoutanyline"]),
        ("_private_thing", ["_private", "thing"]),
    ],
)
def test_labels_are_folded(operation: str, lines: list[str]) -> None:
    assert label_lines(operation) == lines
