"""Tables as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Column(NamedTuple):
    """A column of a table."""

    name: str
    left: bool = False
    """True if it is aligned to the left, as names are; numbers are to the right."""
    width: int = 0
    """Characters at least."""


def lines(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """The names of the columns in a line, and a line for each row; nothing is padded at the end.

    Args:
        columns: of the table.
        rows: of each a text for every column.
    """
    adjusted = []
    for number, column in enumerate(columns):
        cells = [column.name, *(row[number] for row in rows)]
        width = max(column.width, *map(len, cells))
        adjust = str.ljust if column.left else str.rjust
        adjusted.append([adjust(cell, width) for cell in cells])
    return ["  ".join(row).rstrip() for row in zip(*adjusted, strict=True)]
