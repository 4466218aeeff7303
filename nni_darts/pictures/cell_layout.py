"""Positions of the parts of a cell, in every picture of it and on the alpha page."""

from __future__ import annotations

import functools
from typing import Protocol

from nni_darts.pictures.cell_graph import Graph, label_lines
from nni_darts.pictures.layered_layout import Layout, Size, place

__all__ = ["LABEL_SIZE", "LINE", "NAME_SIZE", "Estimate", "Lettering", "label_room", "placed"]

NAME_SIZE = 10.0  # points; of boxes
LABEL_SIZE = 9.0
LINE = 1.1  # height of a line of a label, in font sizes

WIDEST = "max_pool_3x3"
"""Operation whose label is as wide as any of those that the paper's searches may choose."""


class Lettering(Protocol):
    """Measure of the widths of texts, in points. Instances that are equal measure alike."""

    def name(self, name: str) -> float:
        """Width of a box's name, such as c_{k-2}, of size `NAME_SIZE`."""

    def line(self, text: str) -> float:
        """Width of a line of a label, of size `LABEL_SIZE`."""


class Estimate:
    """Widths in a font that is not known, such as the one of a browser: rather too wide."""

    _LETTER = 0.62  # of the font size

    def name(self, name: str) -> float:
        return self._LETTER * NAME_SIZE * len(name.replace("_", "").strip("{}"))

    def line(self, text: str) -> float:
        return self._LETTER * LABEL_SIZE * len(text)


def label_room(operation: str, lettering: Lettering) -> Size:
    """Width and height that an operation's label takes."""
    lines = label_lines(operation)
    width = max(lettering.line(line) for line in lines)
    return width + 5, len(lines) * LABEL_SIZE * LINE + 5


@functools.lru_cache(maxsize=64)
def placed(graph: Graph, lettering: Lettering, room: Size | None = None) -> Layout:
    """Lay out the graph of a cell.

    Args:
        graph: of a cell, or of all that can be chosen.
        lettering: of the picture.
        room: for the label of an edge whose operation is still to come; that of `WIDEST` if None.
    """
    room = label_room(WIDEST, lettering) if room is None else room
    incoming = [sum(link.target == box.name for link in graph.links) for box in graph.boxes]
    sizes = [
        (max(22.0, lettering.name(box.name) + 11), max(22.0, 5.0 * count))
        for box, count in zip(graph.boxes, incoming, strict=True)
    ]
    index = {box.name: i for i, box in enumerate(graph.boxes)}
    links = [(index[link.source], index[link.target]) for link in graph.links]
    operations = [link.operation for link in graph.links]
    labels = [None if o is None else label_room(o, lettering) if o else room for o in operations]
    return place(sizes, [box.rank for box in graph.boxes], links, labels)
