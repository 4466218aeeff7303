"""Layout of a cell on the alpha page: the one of the pictures, as JSON.

    {"width": ..., "height": ...,
     "boxes": [[name, index below the line, role, x, y, width, height], ...],
     "links": [[edge, [x, y, x, y, ...], label's x, label's y], ...],
     "labels": [[[line, ...], width, height], ...]}

x and y of boxes and labels are those of their centres. Edges are indices into the page's edges; a
link of another sort has -1, and no label. A route is that of
`nni_darts.pictures.layered_layout.Layout`. There is a label for each operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nni_darts._common.messages import printable
from nni_darts.genotypes.cell import kind_of
from nni_darts.pictures.cell_graph import candidates, label_lines
from nni_darts.pictures.cell_layout import Estimate, label_room, placed

__all__ = ["layout_of"]

_LETTERING = Estimate()
_MOST_NODES = 10  # of a cell that is drawn; a larger one would take seconds to lay out
_MOST_LETTERS = 32  # of an operation's name


def layout_of(
    kind: str, edges: Sequence[tuple[int, int]], operations: Sequence[str]
) -> dict[str, Any] | None:
    """The layout of all edges that cells of a kind can have; None if there are too many.

    Args:
        kind: "normal", "reduce" or "recurrent".
        edges: (node, source) of each.
        operations: the names of all operations that an edge may have.
    """
    num_nodes = max(node for node, _ in edges) + 1 - kind_of(kind).num_inputs
    if num_nodes > _MOST_NODES:
        return None
    names = [_clipped(printable(name)) for name in operations]
    rooms = [label_room(name, _LETTERING) for name in names]
    room = max(width for width, _ in rooms), max(height for _, height in rooms)
    graph = candidates(kind, num_nodes)
    layout = placed(graph, _LETTERING, room)
    index = {edge: i for i, edge in enumerate(edges)}
    links = []
    for link, route, label in zip(graph.links, layout.routes, layout.labels, strict=True):
        at = [] if label is None else [round(label.x, 1), round(label.y, 1)]
        points = [round(value, 1) for point in route for value in point]
        if link.edge is None or link.edge in index:
            links.append([-1 if link.edge is None else index[link.edge], points, *at])
    boxes = [
        [*_symbol(box.name), box.role, *(round(v, 1) for v in (at.x, at.y, at.width, at.height))]
        for box, at in zip(graph.boxes, layout.boxes, strict=True)
    ]
    return {
        "width": round(layout.width, 1),
        "height": round(layout.height, 1),
        "boxes": boxes,
        "links": links,
        "labels": [
            [label_lines(name), *(round(v, 1) for v in size)]
            for name, size in zip(names, rooms, strict=True)
        ],
    }


def _clipped(name: str) -> str:
    half = _MOST_LETTERS // 2
    return (
        name
        if len(name) <= _MOST_LETTERS
        else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
    )


def _symbol(name: str) -> tuple[str, str]:
    """c_{k-2} as its letter and its index."""
    letter, _, index = name.partition("_")
    return letter, index.strip("{}")
