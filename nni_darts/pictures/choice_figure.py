"""The weights of a space's choices, a compact panel each: the curves over epochs, and bars.

For choices of any kind but the edges of our cells, which have pictures of their own. matplotlib is
imported where it is used, and never pyplot: see `nni_darts.pictures.cell_figure`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nni_darts.history.record import Choices
from nni_darts.pictures.colours import LIGHT, colours_among
from nni_darts.pictures.lettering import fitting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DRAWN", "Panels", "figure_of_choices", "in_points", "panels_of", "room_for"]

# All in points.
_INK, _QUIET, _GRID = "#222222", "#6B7280", "#E3E5E8"
DRAWN = (_INK, _QUIET, _GRID)
"""Colours of everything that is no candidate."""
_SMALL = 7.0
_WIDTH = 186.0  # of a panel
_GAP = 20.0  # between panels, across and down
_MARGIN = 10.0
_TITLE = 14.0
_CURVES = 40.0
_AXIS = 11.0  # below the curves
_ROW = 10.5
_NAME = 78.0  # of a row, for the candidate's name; the weight stands at the end
_NUMBER = 22.0
_MARK = 7.0


@dataclass(frozen=True)
class Panels:
    """Panels of all choices, and the room that they take.

    Args:
        epochs: number of an epoch, from 1, -> its choices, ascending. The bars are of the last.
        columns: number of panels side by side.
    """

    epochs: Mapping[int, Choices]
    columns: int
    candidates: Mapping[str, Sequence[str]]
    """Candidates of any epoch by label."""

    @property
    def width(self) -> float:
        """Width of all panels in points."""
        return self.columns * (_WIDTH + _GAP) - _GAP

    @property
    def height(self) -> float:
        """Height of all panels in points."""
        return sum(self._heights()) + _GAP * 0.6 * (len(self._heights()) - 1)

    def _heights(self) -> list[float]:
        labels = list(self.candidates)
        rows = [labels[i : i + self.columns] for i in range(0, len(labels), self.columns)]
        return [
            self._head() + _ROW * max(len(self.candidates[label]) for label in row) for row in rows
        ]

    def _head(self) -> float:
        return _TITLE + (_CURVES + _AXIS if len(self.epochs) > 1 else 0.0)

    def paint(self, axes: Axes, left: float, top: float) -> None:
        """Draw the panels on axes whose unit is a point and whose y goes down."""
        heights = self._heights()
        for i, (label, names) in enumerate(self.candidates.items()):
            row, column = divmod(i, self.columns)
            x = left + column * (_WIDTH + _GAP)
            y = top + sum(heights[:row]) + row * _GAP * 0.6
            _panel(axes, x, y, label, names, self.epochs)


def panels_of(epochs: Mapping[int, Choices], room: float) -> Panels:
    """The panels for a width, as many side by side as fit; at least one.

    Args:
        epochs: choices by epoch, at least one epoch.
        room: width in points.
    """
    candidates: dict[str, list[str]] = {}
    for choices in epochs.values():
        for label, row in choices.items():
            known = candidates.setdefault(label, [])
            known += [name for name in row if name not in known]
    columns = max(1, min(len(candidates), int((room + _GAP) // (_WIDTH + _GAP))))
    return Panels(dict(sorted(epochs.items())), columns, candidates)


def room_for(count: int) -> float:
    """The width, in points, in which panels are about as wide together as they are high."""
    columns = max(min(count, 2), min(4, math.isqrt(count + 1)))
    return columns * (_WIDTH + _GAP) - _GAP


def figure_of_choices(choices: Choices, *, title: str | None = None) -> Figure:
    """The choices of one epoch, the strongest candidate of each marked.

    Args:
        choices: choices to draw, at least one, see `nni_darts.history.record.EpochRecord`.
        title: text above the panels; "" keeps its room free.

    Returns:
        The figure, on a white background also where the page is dark.
    """
    from matplotlib.figure import Figure

    panels = panels_of({1: choices}, room_for(len(choices)))
    head = 0.0 if title is None else 22.0
    width, height = panels.width + 2 * _MARGIN, panels.height + head + 2 * _MARGIN
    figure = Figure(figsize=(width / 72, height / 72), facecolor=LIGHT)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    in_points(axes, width, height)
    if title:
        text = fitting(title, 11, width - 2 * _MARGIN)
        axes.text(width / 2, _MARGIN + 6, text, size=11, ha="center", va="center", parse_math=False)
    panels.paint(axes, _MARGIN, _MARGIN + head)
    return figure


def in_points(axes: Axes, width: float, height: float) -> None:
    """Scale axes so that a unit is a point and y goes down."""
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _panel(
    axes: Axes, x: float, y: float, label: str, names: Sequence[str], epochs: Mapping[int, Choices]
) -> None:
    colours = [colour.light for colour in colours_among(names)]
    _text(axes, x, y + 5, fitting(label, _SMALL + 1, _WIDTH, True), size=_SMALL + 1, weight="bold")
    y += _TITLE
    rows = {epoch: choices.get(label, {}) for epoch, choices in epochs.items()}
    last = list(rows.values())[-1]
    strongest = max(last, key=lambda name: last[name], default=None)
    if len(rows) > 1:
        _curves(axes, x, y, {n: [r.get(n) for r in rows.values()] for n in names}, list(rows))
        y += _CURVES + _AXIS
    for name, colour in zip(names, colours, strict=True):
        leads = name == strongest
        _row(axes, x, y + _ROW / 2, name, last.get(name), colour, leads)
        y += _ROW


def _row(
    axes: Axes, x: float, y: float, name: str, weight: float | None, colour: str, leads: bool
) -> None:
    from matplotlib.patches import Polygon, Rectangle

    style = {"weight": "bold"} if leads else {}
    if leads:
        mark = [(x, y - 2.6), (x, y + 2.6), (x + 4.2, y)]
        axes.add_patch(Polygon(mark, closed=True, facecolor=_INK, linewidth=0))
    text = fitting(name, _SMALL, _NAME - _MARK - 4, leads)
    _text(axes, x + _MARK, y, text, size=_SMALL, **style)
    start, room = x + _NAME, _WIDTH - _NAME - _NUMBER
    axes.add_patch(Rectangle((start, y - 3), room, 6, facecolor="#F1F3F5", linewidth=0))
    if weight is None:
        _text(axes, x + _WIDTH, y, "missing", size=_SMALL - 1, ha="right", color=_QUIET)
        return
    bar = Rectangle((start, y - 3), room * min(1.0, weight), 6, facecolor=colour, linewidth=0)
    bar.set_gid("leads" if leads else "candidate")
    axes.add_patch(bar)
    _text(axes, x + _WIDTH, y, f"{weight:.2f}", size=_SMALL, ha="right", **style)


def _curves(
    axes: Axes, x: float, y: float, values: Mapping[str, Sequence[float | None]], epochs: list[int]
) -> None:
    """Draw a line per candidate; it breaks at missing epochs, and a lone epoch is a dot."""
    first, last = epochs[0], epochs[-1]
    known = [w for row in values.values() for w in row if w is not None]
    top = min(1.0, 1.08 * max(known, default=1.0)) or 1.0
    left = x + 17.0
    width = _WIDTH - 17.0

    def at(epoch: int, weight: float) -> tuple[float, float]:
        return left + width * (epoch - first) / (last - first), y + _CURVES * (1 - weight / top)

    for level in (0.0, top):
        _, height = at(first, level)
        axes.plot([left, x + _WIDTH], [height, height], color=_GRID, linewidth=0.6)
        shown = f"{level:.2f}".removesuffix(".00")
        _text(axes, left - 3, height, shown, size=_SMALL - 1.5, ha="right", color=_QUIET)
    for colour, row in zip(colours_among(list(values)), values.values(), strict=True):
        pieces: list[list[tuple[float, float]]] = []
        before: int | None = None
        for epoch, weight in zip(epochs, row, strict=True):
            if weight is None:
                continue
            if before != epoch - 1:
                pieces.append([])
            pieces[-1].append(at(epoch, weight))
            before = epoch
        for piece in pieces:
            style: dict[str, Any] = {"marker": ".", "markersize": 3.0} if len(piece) == 1 else {}
            across, down = zip(*piece, strict=True)
            axes.plot(across, down, color=colour.light, linewidth=1.2, **style)
    _text(axes, left, y + _CURVES + 5, f"epoch {first}", size=_SMALL - 1.5, color=_QUIET)
    _text(axes, x + _WIDTH, y + _CURVES + 5, str(last), size=_SMALL - 1.5, ha="right", color=_QUIET)


def _text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    style = {"color": _INK, "va": "center_baseline", **style}
    axes.text(x, y, text, parse_math=False, **style)
