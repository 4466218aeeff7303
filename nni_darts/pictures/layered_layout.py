"""Layout of a layered drawing from left to right: boxes, links and their labels.

Every box has its column. A link that passes a column has a place of its own in it, and so has its
label, in a column between those of two ranks. Places of a column are kept apart from top to bottom,
and links bend only between columns, so nothing can cover a box or a label, whatever the graph. This
is the scheme of Sugiyama, Tagawa and Toda (1981): ranks, an order in each column with few
crossings, then coordinates.

Lengths are in points, y grows downwards.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Layout", "Rectangle", "Size", "place"]

Size: TypeAlias = "tuple[float, float]"

_BETWEEN_BOXES = 15.0
_BETWEEN_OTHERS = 6.0
_ARROW = 8.0  # of room before a box
_PORTS = 6.5  # between the ends of two links at one box
_RESTARTS = 16
_SWEEPS = 6
_ALIGNMENTS = 150


@dataclass(frozen=True)
class Rectangle:
    x: float  # of its centre
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    def overlaps(self, other: Rectangle) -> bool:
        return (
            abs(self.x - other.x) < (self.width + other.width) / 2
            and abs(self.y - other.y) < (self.height + other.height) / 2
        )


@dataclass(frozen=True)
class Layout:
    width: float
    height: float
    boxes: list[Rectangle]
    labels: list[Rectangle | None]
    """One per link; None for a link without a label."""
    routes: list[list[tuple[float, float]]]
    """One per link, 2 n points: n curves, each from an even to the next odd point, both horizontal
    where they begin and end; straight from there to the next curve."""


@dataclass
class _Place:
    """Place of a box, of a label or of a passing link in its column."""

    column: int
    width: float = 0.0
    height: float = 0.0
    is_box: bool = False
    y: float = 0.0
    before: list[_Place] = field(default_factory=list, repr=False)
    after: list[_Place] = field(default_factory=list, repr=False)


def place(
    boxes: Sequence[Size],
    ranks: Sequence[int],
    links: Sequence[tuple[int, int]],
    labels: Sequence[Size | None],
) -> Layout:
    """Place a graph.

    Args:
        boxes: their widths and heights; those of one rank from top to bottom, as far as it costs no
            crossings.
        ranks: one per box, at least 0.
        links: (index of a box, index of a box of a higher rank).
        labels: one per link, its width and height; None for a link without a label.

    Returns:
        The same for the same graph.
    """
    columns, nodes, chains, at = _columns(boxes, ranks, links, labels)
    _order(columns)
    _align(columns)
    # Upside down it is as good; the first box of the first column comes first where it can.
    first = [p for p in nodes if p.column == 0]
    sign = -1.0 if first[0].y > first[-1].y else 1.0
    top = min(sign * p.y - p.height / 2 for column in columns for p in column)
    for column in columns:
        for p in column:
            p.y = sign * p.y - top
    ends = _ports(chains)
    x, width = _across(columns, chains, ends)

    def rectangle(p: _Place) -> Rectangle:
        return Rectangle(x[p.column], p.y, p.width, p.height)

    routes = []
    for chain, (start, end) in zip(chains, ends, strict=True):
        route = [(rectangle(chain[0]).right, start)]
        for p in chain[1:-1]:
            half = max(q.width for q in columns[p.column]) / 2
            route += [(x[p.column] - half, p.y), (x[p.column] + half, p.y)]
        routes.append([*route, (rectangle(chain[-1]).left, end)])
    return Layout(
        width,
        max(p.y + p.height / 2 for column in columns for p in column),
        [rectangle(p) for p in nodes],
        [None if p is None else rectangle(p) for p in at],
        routes,
    )


_Columns: TypeAlias = "list[list[_Place]]"


def _columns(
    boxes: Sequence[Size],
    ranks: Sequence[int],
    links: Sequence[tuple[int, int]],
    labels: Sequence[Size | None],
) -> tuple[_Columns, list[_Place], list[list[_Place]], list[_Place | None]]:
    """Columns, the places of the boxes, the places along each link, and those of the labels."""
    # Even columns are the ranks; each odd one is for the labels between two ranks.
    in_column: dict[int, int] = {}
    label_columns: list[int | None] = [None] * len(links)
    # Those that have no choice first, then where there are fewest, and nearest to the target.
    for i in sorted(range(len(links)), key=lambda i: ranks[links[i][1]] - ranks[links[i][0]]):
        if labels[i] is not None:
            low, high = (2 * ranks[box] for box in links[i])
            chosen = min(range(high - 1, low, -2), key=lambda c: in_column.get(c, 0))
            label_columns[i] = chosen
            in_column[chosen] = in_column.get(chosen, 0) + 1
    used = sorted({2 * rank for rank in ranks} | set(in_column))
    number = {column: i for i, column in enumerate(used)}

    nodes = [
        _Place(number[2 * rank], *size, is_box=True)
        for size, rank in zip(boxes, ranks, strict=True)
    ]
    columns: _Columns = [[] for _ in used]
    for p in nodes:
        columns[p.column].append(p)
    chains, at = [], []
    for (source, target), size, label_column in zip(links, labels, label_columns, strict=True):
        chain, found = [nodes[source]], None
        for column in range(nodes[source].column + 1, nodes[target].column):
            p = _Place(column)
            if size is not None and used[column] == label_column:
                p.width, p.height = size
                found = p
            columns[column].append(p)
            chain.append(p)
        chain.append(nodes[target])
        for p, q in itertools.pairwise(chain):
            p.after.append(q)
            q.before.append(p)
        chains.append(chain)
        at.append(found)
    return columns, nodes, chains, at


# The order in each column


def _order(columns: _Columns) -> None:
    """Few crossings: the best of several sweeps over barycentres, from random orders."""
    rng = random.Random(0)
    best, fewest = [list(column) for column in columns], _crossings(columns)
    for attempt in range(_RESTARTS):
        if attempt:
            for column in columns:
                rng.shuffle(column)
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            for column in columns if forward else reversed(columns):
                _by_barycentre(columns, column, forward)
            _swap_neighbours(columns)
            if (crossings := _crossings(columns)) < fewest:
                best, fewest = [list(column) for column in columns], crossings
        if not fewest:
            break
    columns[:] = best


def _positions(column: list[_Place]) -> dict[int, int]:
    return {id(p): i for i, p in enumerate(column)}


def _by_barycentre(columns: _Columns, column: list[_Place], forward: bool) -> None:
    index = column[0].column + (-1 if forward else 1)
    if not 0 <= index < len(columns):
        return
    at = _positions(columns[index])

    def barycentre(p: _Place, now: int) -> float:
        near = [at[id(q)] for q in (p.before if forward else p.after)]
        return sum(near) / len(near) if near else now

    order = {id(p): barycentre(p, i) for i, p in enumerate(column)}
    column.sort(key=lambda p: order[id(p)])


def _swap_neighbours(columns: _Columns) -> None:
    """Swap two that stand next to each other where that saves crossings."""
    for column in columns:
        i = column[0].column
        sides = [(columns[i - 1], "before")] if i else []
        sides += [(columns[i + 1], "after")] if i + 1 < len(columns) else []
        at = [(_positions(side), name) for side, name in sides]
        for k in range(len(column) - 1):
            p, q = column[k], column[k + 1]
            saved = 0
            for positions, name in at:
                for a in (positions[id(n)] for n in getattr(p, name)):
                    for b in (positions[id(n)] for n in getattr(q, name)):
                        saved += (a > b) - (a < b)
            if saved > 0:
                column[k], column[k + 1] = q, p


def _crossings(columns: _Columns) -> int:
    count = 0
    for column, following in itertools.pairwise(columns):
        at = _positions(following)
        ends = [sorted(at[id(q)] for q in p.after) for p in column]
        for i, first in enumerate(ends):
            for second in ends[i + 1 :]:
                count += sum(a > b for a in first for b in second)
    return count


# Coordinates


def _align(columns: _Columns) -> None:
    """Links as straight as the distances allow, one column after the other."""
    for column in columns:
        _spread(column, [0.0] * len(column), [1.0] * len(column))
    for sweep in range(_ALIGNMENTS):
        # Squares first; then, from there on, distances as such, by squares weighted anew: a few
        # bends between straight lines are calmer than many small ones.
        bent = sweep >= _ALIGNMENTS // 3
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted, weights = [], []
            for p in column:
                pulls = [
                    (_pull(p, q) / (abs(p.y - q.y) + 0.5 if bent else 1.0), q.y)
                    for q in (*p.before, *p.after)
                ]
                weight = sum(w for w, _ in pulls)
                wanted.append(sum(w * y for w, y in pulls) / weight if weight else p.y)
                weights.append(weight or 0.1)
            _spread(column, wanted, weights)


def _pull(p: _Place, q: _Place) -> float:
    # What lies between two boxes is to be a straight line first of all.
    return (1.0, 2.0, 8.0)[2 - p.is_box - q.is_box]


def _spread(column: list[_Place], wanted: Sequence[float], weights: Sequence[float]) -> None:
    """The y nearest to what is wanted (weighted squares) that keep order and distances.

    Pool adjacent violators, on y less the distance that each must keep from the first.
    """
    offset, offsets = 0.0, []
    for i, p in enumerate(column):
        if i:
            offset += _distance(column[i - 1], p)
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # mean, weight, count
    for y, weight, offset in zip(wanted, weights, offsets, strict=True):
        pool = (y - offset, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, w, count = pools.pop()
            total = w + pool[1]
            pool = ((mean * w + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    means = [mean for mean, _, count in pools for _ in range(count)]
    for p, mean, offset in zip(column, means, offsets, strict=True):
        p.y = mean + offset


def _distance(p: _Place, q: _Place) -> float:
    gap = _BETWEEN_BOXES if p.is_box and q.is_box else _BETWEEN_OTHERS
    return (p.height + q.height) / 2 + gap


def _ports(chains: list[list[_Place]]) -> list[tuple[float, float]]:
    """The y at which each link leaves its first box, and that at which it enters its last."""
    starts, ends = [0.0] * len(chains), [0.0] * len(chains)
    for y, own, near in ((starts, 0, 1), (ends, -1, -2)):
        by_box: dict[int, list[int]] = {}
        for i, chain in enumerate(chains):
            by_box.setdefault(id(chain[own]), []).append(i)
        for at in by_box.values():
            box = chains[at[0]][own]
            step = min(_PORTS, (box.height - 8) / max(1, len(at) - 1))
            if own == 0:
                step = 0.0  # they fan out of one point, as one state
            for k, i in enumerate(sorted(at, key=lambda i: chains[i][near].y)):
                y[i] = box.y + (k - (len(at) - 1) / 2) * step
    return list(zip(starts, ends, strict=True))


def _across(
    columns: _Columns, chains: list[list[_Place]], ends: list[tuple[float, float]]
) -> tuple[list[float], float]:
    """The x of the columns' centres, and the whole width: the steeper a link, the more room."""
    rise = [0.0] * len(columns)  # to the next column
    for chain, (start, end) in zip(chains, ends, strict=True):
        ys = [start, *(p.y for p in chain[1:-1]), end]
        for p, a, b in zip(chain, ys, ys[1:], strict=False):
            rise[p.column] = max(rise[p.column], abs(a - b))
    x, right = [], 0.0
    for i, column in enumerate(columns):
        width = max(p.width for p in column)
        if i:
            into_box = any(p.is_box for p in column)
            right += 6 + min(26.0, 0.2 * rise[i - 1]) + _ARROW * into_box
        x.append(right + width / 2)
        right += width
    return x, right
