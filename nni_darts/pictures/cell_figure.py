"""Cells drawn through matplotlib, by the layout of `nni_darts.pictures.cell_layout`.

matplotlib is imported where it is used, and only its object interface: without pyplot no window
system is asked for, and threads do not disturb each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nni_darts._common.checks import instance, several
from nni_darts._common.messages import literal
from nni_darts.genotypes.cell import Cell
from nni_darts.pictures.cell_graph import (
    CAPTIONS,
    Graph,
    Link,
    candidates,
    graph_of,
    label_lines,
    link_id,
)
from nni_darts.pictures.cell_layout import LABEL_SIZE, LINE, NAME_SIZE, label_room, placed
from nni_darts.pictures.colours import LIGHT, NODES, colour_of
from nni_darts.pictures.layered_layout import Layout
from nni_darts.pictures.lettering import width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DRAWN", "Picture", "figure_of_cell", "figure_of_cells", "picture_of"]

_MARGIN = 8.0
_CAPTION = 18.0  # height of the line above a cell
_BETWEEN = 14.0  # cells
_GREY = "#8A8F98"
_FAINT = "#DFE2E6"
DRAWN = (_GREY, _FAINT, "#444444")
"""Colours of everything that is neither a box nor an operation."""


@dataclass(frozen=True)
class Picture:
    """A cell with the position of everything that is drawn of it."""

    graph: Graph
    layout: Layout
    cell: Cell | None = None
    """Edges drawn in full, where the graph has all that can be chosen."""
    strengths: Mapping[tuple[int, int], float] | None = None


def picture_of(cell: Cell, strengths: Mapping[tuple[int, int], float] | None = None) -> Picture:
    """Lay a cell out; with strengths, which set the widths of its edges, always in the same way.

    Args:
        cell: cell of any kind.
        strengths: (node, source) -> [0, 1]. Edges that the cell does not have are drawn faintly,
            and boxes stand where they do for every cell with as many nodes.
    """
    if strengths is None:
        return Picture(graph_of(cell), placed(graph_of(cell), _LETTERING))
    graph = candidates(cell.kind, len(cell.nodes))
    return Picture(graph, placed(graph, _LETTERING), cell, strengths)


class _Matplotlib:
    """The widths of texts as matplotlib writes them."""

    def name(self, name: str) -> float:
        return width_of(_mathematics(name), NAME_SIZE, True)

    def line(self, text: str) -> float:
        return width_of(text, LABEL_SIZE)


_LETTERING = _Matplotlib()


def _mathematics(name: str) -> str:
    return f"${name}$" if "_" in name else name


# Figures


def figure_of_cell(
    cell: Cell,
    strengths: Mapping[tuple[int, int], float] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Figure of one cell, see `figure_of_cells`."""
    instance("cell", cell, Cell, "a cell of a genotype")
    return figure_of_cells([cell], None if strengths is None else [strengths], title=title)


def figure_of_cells(
    cells: Sequence[Cell],
    strengths: Sequence[Mapping[tuple[int, int], float]] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Figure of cells below each other, at their own size, so that letters have their full size.

    Args:
        cells: cells to draw, at least one.
        strengths: (node, source) -> [0, 1] for each cell, see `picture_of`. None for the cells as
            they are, as compact as possible.
        title: text above the cells; "" keeps its room free.

    Returns:
        The figure, on a white background also where the page is dark.
    """
    from matplotlib.figure import Figure

    cells = several("cells", cells, Cell, "cells of a genotype")
    if not cells:
        raise ValueError("cells must hold at least one cell, got none")
    given = [None] * len(cells) if strengths is None else strengths
    pictures = [picture_of(cell, s) for cell, s in zip(cells, given, strict=True)]
    head = 0.0 if title is None else 24.0
    width = max(picture.layout.width for picture in pictures) + 2 * _MARGIN
    heights = [_CAPTION + picture.layout.height for picture in pictures]
    height = head + sum(heights) + _BETWEEN * (len(cells) - 1) + 2 * _MARGIN
    figure = Figure(figsize=(width / 72, height / 72), facecolor=LIGHT)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    if title:
        axes.text(width / 2, _MARGIN + 6, literal(title), size=11, ha="center", va="center")
    top = head + _MARGIN
    for picture, its_height in zip(pictures, heights, strict=True):
        left = (width - picture.layout.width) / 2
        axes.text(
            _MARGIN, top + 6, CAPTIONS[picture.graph.kind], size=9, va="center", color=DRAWN[2]
        )
        _paint(axes, picture, left, top + _CAPTION)
        top += its_height + _BETWEEN
    return figure


def _paint(axes: Axes, picture: Picture, left: float, top: float) -> None:
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    graph, layout = picture.graph, picture.layout
    chosen: dict[tuple[int, int] | None, Link] = {}
    if picture.cell is not None:
        chosen = {link.edge: link for link in graph_of(picture.cell).links if link.edge}

    for candidate, label, route in zip(graph.links, layout.labels, layout.routes, strict=True):
        link = candidate if picture.cell is None else chosen.get(candidate.edge, candidate)
        passes = link.operation is None
        faint = link.operation == ""
        colour = _GREY if passes else _FAINT if faint else colour_of(str(link.operation)).light
        width = 1.0 if passes else 1.3
        if picture.strengths is not None and link.edge is not None:
            width = 0.6 + 3.4 * min(1.0, picture.strengths.get(link.edge, 0.0))
        head = f"head_length={4.5 + 0.9 * width},head_width={1.9 + 0.6 * width}"
        points = [(left + x, top + y) for x, y in route]
        arrow = FancyArrowPatch(
            path=Path(*_curves(points, Path)),
            arrowstyle="-" if faint else f"-|>,{head}",
            mutation_scale=1.0,
            shrinkA=0,
            shrinkB=0,
            linewidth=width,
            color=colour,
            capstyle="butt",
            joinstyle="miter",
            zorder=1 if faint else 2,
        )
        arrow.set_gid(link_id(graph, link))
        axes.add_patch(arrow)
        if label is None or faint:
            continue
        # As wide as what is written, which may be less than the room that is kept for it.
        across, high = label_room(str(link.operation), _LETTERING)
        axes.add_patch(
            FancyBboxPatch(
                (left + label.x - across / 2, top + label.y - high / 2),
                across,
                high,
                boxstyle="round,pad=0,rounding_size=3",
                facecolor=LIGHT,
                edgecolor="none",
                zorder=3,
            )
        )
        lines = label_lines(str(link.operation))
        for i, line in enumerate(lines):
            axes.text(
                left + label.x,
                top + label.y + (i - (len(lines) - 1) / 2) * LABEL_SIZE * LINE,
                line,
                size=LABEL_SIZE,
                color=colour,
                ha="center",
                va="center_baseline",
                parse_math=False,
                zorder=4,
            )
    for box, at in zip(graph.boxes, layout.boxes, strict=True):
        inside, border = NODES[box.role]
        patch = FancyBboxPatch(
            (left + at.left, top + at.y - at.height / 2),
            at.width,
            at.height,
            boxstyle="round,pad=0,rounding_size=4",
            facecolor=inside,
            edgecolor=border,
            linewidth=1.0,
            zorder=3,
        )
        patch.set_gid(f"{graph.kind}-{box.name}")
        axes.add_patch(patch)
        axes.text(
            left + at.x,
            top + at.y,
            _mathematics(box.name),
            size=NAME_SIZE,
            ha="center",
            va="center",
            zorder=4,
        )


def _curves(
    points: Sequence[tuple[float, float]], path: Any
) -> tuple[list[tuple[float, float]], list[Any]]:
    """Vertices and codes of a route: S-shaped curves, straight lines between them."""
    vertices, codes = [points[0]], [path.MOVETO]
    for i in range(0, len(points), 2):
        (x0, y0), (x1, y1) = points[i], points[i + 1]
        if i:
            vertices.append((x0, y0))
            codes.append(path.LINETO)
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1)]
        codes += [path.CURVE4] * 3
    return vertices, codes
