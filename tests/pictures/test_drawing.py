from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawings import EVIL, require_harmless
from histories import reports
from layouts import require_clear
from PIL import Image

from nni_darts.genotypes import published, random_cells
from nni_darts.genotypes.cell import RNN_PRIMITIVES, Cell
from nni_darts.genotypes.genotype import Genotype
from nni_darts.history.cells import derived, strengths_of
from nni_darts.history.flat import from_flat
from nni_darts.history.record import CellEdge, EpochRecord
from nni_darts.pictures import drawing
from nni_darts.pictures.animation import frames_of
from nni_darts.pictures.cell_figure import picture_of
from nni_darts.pictures.cell_graph import candidates, graph_of, label_lines, state_name
from nni_darts.pictures.search_figure import figure_of_history, heat_maps


def records(reports: list[dict[str, Any]]) -> list[EpochRecord]:
    return [from_flat(report) for report in reports]


# The graph of a cell


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


# The layout


def cells() -> list[Cell]:
    drawn = random_cells.draw(100, 0)
    known = [published.get(name) for name in published.names()]
    return [cell for genotype in [*drawn, *known] for cell in genotype.cells]


def test_nothing_covers_anything_in_any_cell() -> None:
    for cell in cells():
        picture = picture_of(cell)
        index = {box.name: i for i, box in enumerate(picture.graph.boxes)}
        ends = [(index[link.source], index[link.target]) for link in picture.graph.links]
        require_clear(picture.layout, ends)
        labels = [link.operation for link in picture.graph.links]
        assert [label is None for label in picture.layout.labels] == [o is None for o in labels]
        # A paper's column is 3.3 inches wide: letters of 9 points have at least 4.5 there.
        assert cell.kind == "recurrent" or picture.layout.width / 72 < 6.6


def test_with_strengths_all_cells_have_one_layout() -> None:
    first, *others = [picture_of(c, {}).layout for g in random_cells.draw(5, 0) for c in g.cells]
    assert all(layout == first for layout in others)
    graph = candidates("normal", 4)
    index = {box.name: i for i, box in enumerate(graph.boxes)}
    require_clear(first, [(index[link.source], index[link.target]) for link in graph.links])
    assert sum(label is not None for label in first.labels) == 14


def test_widths_say_how_strong_an_edge_is() -> None:
    (record,) = records(reports(1))
    cell, strengths = derived(record).normal, strengths_of(record, "normal")
    figure = drawing.figure_of_cell(cell, strengths)
    widths = {
        patch.get_gid(): patch.get_linewidth()
        for patch in figure.axes[0].patches
        if re.fullmatch(r"normal-\d+-\d+-\w*", patch.get_gid() or "")
    }
    assert len(widths) == 14
    strong = {f"{edge[0]}-{edge[1]}": value for edge, value in strengths.items()}
    by_width = sorted(widths, key=lambda gid: widths[gid])
    by_strength = sorted(widths, key=lambda gid: strong["-".join(gid.split("-")[1:3])])
    assert by_width == by_strength
    drawn = {gid for gid in widths if not gid.endswith("-")}
    assert drawn == {
        f"normal-{node}-{source}-{operation}"
        for node, edges in enumerate(cell.nodes, 2)
        for operation, source in edges
    }


# Files


def ids(genotype: Genotype) -> set[str]:
    """How an SVG names the edges."""
    return {
        f"{cell.kind}-{node}-{source}-{operation}"
        for cell in genotype.cells
        for node, edges in enumerate(cell.nodes, cell.num_inputs)
        for operation, source in edges
    }


@pytest.mark.parametrize("name", ["DARTS_V2", "RNN_DARTS_V2"])
def test_an_svg(name: str, tmp_path: Path) -> None:
    genotype = published.get(name)
    path = tmp_path / "cell.svg"
    drawing.draw(genotype, path, title="$ a <title> & more")
    svg = path.read_text()
    assert ids(genotype) <= set(re.findall(r'id="([^"]*)"', svg))
    assert "fill: #ffffff" in svg  # the page may be dark


def test_a_png_on_white(tmp_path: Path) -> None:
    drawing.draw(published.get("DARTS_V2"), tmp_path / "new" / "cell.PNG")
    with Image.open(tmp_path / "new" / "cell.PNG") as image:
        assert image.width > 600
        assert image.convert("RGBA").getpixel((2, 2)) == (255, 255, 255, 255)


@pytest.mark.parametrize("name", ["cell.gif", "cell", "svg", "cell.svg.txt"])
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in one of \.svg, \.png, \.pdf; got"):
        drawing.draw(published.get("DARTS_V2"), tmp_path / name)
    with pytest.raises(ValueError, match="must end in one of"):
        drawing.plot_history(records(reports(1)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.svg").mkdir()
    for name in ("file/cell.svg", "folder.svg"):
        with pytest.raises(ValueError, match="cannot write ") as error:
            drawing.draw(published.get("RNN_DARTS_V2"), tmp_path / name)
        assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.svg"}


# A search


def test_the_figure_of_a_history(tmp_path: Path) -> None:
    made = reports(6)
    del made[3], made[1]
    figure = drawing.figure_of_history(records(made))
    accuracy, entropy, skips, *edges = figure.axes
    assert len(edges) == 2 * 14
    assert [axes.get_title() for axes in (accuracy, entropy, skips)] == [
        "validation accuracy",
        "entropy of the weights (nats)",
        "skips in the normal cell",
    ]
    x, y = accuracy.lines[0].get_data()
    assert list(x) == [1, 2, 3, 4, 5, 6]
    assert y[[0, 2, 4, 5]] == pytest.approx([0.5, 0.7, 0.9, 1.0])
    assert pd.isna(y[[1, 3]]).all()
    assert list(accuracy.lines[1].get_xdata()) == [1, 3]  # dots: they stand alone
    drawn = {line.get_color() for line in edges[0].lines}
    assert drawn == {plot_colour(name) for name in from_flat(made[0]).cells["normal"][2, 0]}
    drawing.plot_history(records(made), tmp_path / "alphas.svg")
    assert (tmp_path / "alphas.svg").read_text().rstrip().endswith("</svg>")


def plot_colour(name: str) -> str:
    from nni_darts.pictures.colours import colour_of

    return colour_of(name).light


def test_the_figure_of_what_a_history_has() -> None:
    made = [{k: v for k, v in r.items() if not k.startswith(("r", "n3"))} for r in reports(2)]
    for report in made:
        del report["entropy"], report["default"]
    figure = drawing.figure_of_history(records(made))
    assert len(figure.axes) == 2 + 2 + 4 + 5
    assert [text.get_text() for text in figure.axes[1].texts] == ["not reported"]
    with pytest.raises(ValueError, match="no epoch has weights of edges"):
        drawing.figure_of_history(records([{"epoch": 0, "default": 0.5}]))


def test_heat_maps() -> None:
    (record,) = records(reports(1))
    figure = drawing.heat_maps(record, title="epoch 1")
    normal, reduce, _ = figure.axes
    weights = record.cells
    for axes, kind in ((normal, "normal"), (reduce, "reduce")):
        values = axes.images[0].get_array()
        assert values.shape == (14, 8)
        assert values.tolist() == [list(row.values()) for row in weights[kind].values()]
    (record,) = records(reports(1, ["recurrent"], 8, RNN_PRIMITIVES))
    assert drawing.heat_maps(record).axes[0].images[0].get_array().shape == (36, 5)
    with pytest.raises(ValueError, match="has no weights of edges"):
        drawing.heat_maps(from_flat({"epoch": 0}))


def test_a_title_may_be_anything(tmp_path: Path) -> None:
    drawing.draw(published.get("DARTS_V2"), tmp_path / "cell.svg", title=EVIL)
    require_harmless((tmp_path / "cell.svg").read_bytes())


def test_names_may_be_anything() -> None:
    report = {"epoch": 0, "default": 0.5, "n2<0 a\x1b$x$": 0.5, "n2<0 $b": 0.5, "n2<1 $b": 1.0}
    require_harmless(drawing.rendered(drawing.heat_maps(from_flat(report), title=EVIL), "svg"))
    made = records([report, {**report, "epoch": 1}])
    require_harmless(drawing.rendered(drawing.figure_of_history(made), "svg"))


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        drawing.draw(published.get("DARTS_V2"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


# Weights of edges


def test_weights_of_edges_are_drawn() -> None:
    edges = {
        CellEdge("normal", n, s): 2 * (s + 1) / (n * (n + 1)) for n in range(2, 6) for s in range(n)
    }
    plain = records(reports(3))
    weighed = [replace(record, edge_weights=edges) for record in plain]
    # Beside the edges in the heat map.
    ticks = [
        [label.get_text() for label in heat_maps(made[-1]).axes[0].get_yticklabels()]
        for made in (plain, weighed)
    ]
    assert ticks[1][:3] == [f"{ticks[0][0]}  .33", f"{ticks[0][1]}  .67", f"{ticks[0][2]}  .17"]
    # A line in each panel of the normal cell, and one in the legend.
    counts = [
        sum(len(axes.lines) for axes in figure_of_history(made).axes) for made in (plain, weighed)
    ]
    assert counts[1] == counts[0] + 2 * 14  # each with dots for epochs that stand alone
    legends = [figure_of_history(made).legends[0].get_texts() for made in (plain, weighed)]
    assert [text.get_text() for text in legends[1][len(legends[0]) :]] == ["weight of the edge"]
    # And they set the widths of the edges of a cell.
    thick = [frames_of(made)[-1].strengths[0] for made in (plain, weighed)]
    for (node, source), strength in thick[0].items():
        weight = edges[CellEdge("normal", node, source)]
        assert thick[1][node, source] == pytest.approx(strength * weight)
