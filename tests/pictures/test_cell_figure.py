from __future__ import annotations

import re

from histories import records, reports
from layouts import require_clear

from nni_darts.genotypes import published, random_cells
from nni_darts.genotypes.cell import Cell
from nni_darts.history.cells import derived, strengths_of
from nni_darts.pictures import drawing
from nni_darts.pictures.cell_figure import picture_of
from nni_darts.pictures.cell_graph import candidates


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
