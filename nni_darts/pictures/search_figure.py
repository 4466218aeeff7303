"""Figures of a search: the weights of its edges over epochs, or as heat maps of one epoch.

matplotlib is imported where it is used, and never pyplot: see `nni_darts.pictures.cell_figure`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from nni_darts._common.checks import instance, several
from nni_darts._common.messages import literal
from nni_darts.genotypes.cell import KINDS
from nni_darts.history.cells import cell_of, operations_of, skips_in
from nni_darts.history.record import EpochRecord
from nni_darts.pictures.cell_graph import CAPTIONS, state_name
from nni_darts.pictures.choice_figure import Panels, in_points, panels_of, room_for
from nni_darts.pictures.colours import LIGHT, colour_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

__all__ = ["figure_of_history", "heat_maps"]

_INK = "#333333"
_GRID = "#E3E5E8"
_EDGE = "#8A8F98"
_SMALL = 7.0  # points
_PANEL = 0.84  # inches
_HEAD = 0.58  # above each part
_SIDE = 0.2  # of the panels of other choices

_Epochs = dict[int, EpochRecord]
"""Epochs, counted from 1."""


def figure_of_history(records: Iterable[EpochRecord]) -> Figure:
    """Small multiples of a search's history.

    Above, over epochs: the validation metric, the entropy of the weights and the number of skip
    connections in the derived normal cell. Below, for each cell, one panel per edge with a line per
    operation: a row for each node, a column for each source; a grey line is the weight of the edge,
    where it has one. Then a panel for every other choice of the space. Lines break where epochs are
    missing.

    Args:
        records: of one search, in any order.

    Raises:
        ValueError: no epoch has weights.
    """
    from matplotlib.figure import Figure

    records = several("records", records, EpochRecord, "records of epochs")
    every: _Epochs = {r.epoch + 1: r for r in sorted(records, key=lambda r: r.epoch)}
    kinds = [kind for kind in KINDS if any(kind in r.cells for r in every.values())]
    choices = {epoch: record.choices for epoch, record in every.items()}
    has_choices = any(choices.values())
    if not kinds and not has_choices:
        raise ValueError("records: no epoch has weights of edges, or of other choices")
    edges = {
        kind: sorted({edge for r in every.values() for edge in r.cells.get(kind, {})})
        for kind in kinds
    }
    names = dict.fromkeys(
        name for r in every.values() for row in r.cells.values() for name in operations_of(row)
    )
    parts = [1.0] + [_PANEL * len({node for node, _ in edges[kind]}) for kind in kinds]
    wide = max((len({source for _, source in edges[kind]}) for kind in kinds), default=0)
    weighed = any(record.edge_weights for record in every.values())
    legend_rows = math.ceil((len(names) + weighed) / 4)
    foot = 0.4 + 0.17 * legend_rows if kinds else 0.25
    width = max(5.5, 0.6 + 1.15 * wide)
    if has_choices:
        width = max(width, 2 * _SIDE + room_for(max(map(len, choices.values()))) / 72)
        panels = panels_of(choices, 72 * (width - 2 * _SIDE))
        parts.append(panels.height / 72)
    height = sum(parts) + _HEAD * len(parts) + foot - 0.2

    figure = Figure(figsize=(width, height), facecolor=LIGHT)
    top = height + 0.2
    for kind, part in zip([None, *kinds], parts[: 1 + len(kinds)], strict=True):
        top -= _HEAD
        grid = figure.add_gridspec(
            1,
            1,
            left=0.5 / width,
            right=1 - 0.12 / width,
            top=top / height,
            bottom=(top - part) / height,
        )
        if kind is None:
            _summaries(figure, grid[0], every)
        else:
            figure.text(0.1 / width, (top + 0.22) / height, CAPTIONS[kind], size=9, color=_INK)
            _multiples(figure, grid[0], kind, edges[kind], every)
        top -= part
    if has_choices:
        top -= _HEAD - 0.15  # the panels bring room for their titles
        caption = "other choices" if kinds else "choices"
        figure.text(0.1 / width, (top + 0.1) / height, caption, size=9, color=_INK)
        _choices(figure, panels, top, width, height)
    if not kinds:
        return figure
    lines = [_line(name) for name in names]
    labels = list(map(literal, names))
    if weighed:
        lines.append(_line_of(_EDGE, ":"))
        labels.append("weight of the edge")
    figure.legend(
        lines,
        labels,
        loc="lower center",
        ncols=4,
        fontsize=_SMALL + 0.5,
        frameon=False,
        handlelength=1.6,
    )
    return figure


def _choices(figure: Figure, panels: Panels, top: float, width: float, height: float) -> None:
    part = panels.height / 72
    axes = figure.add_axes((0.0, (top - part) / height, 1.0, part / height))
    in_points(axes, 72 * width, panels.height)
    panels.paint(axes, 72 * _SIDE, 0.0)


def _line(name: str) -> Any:
    return _line_of(colour_of(name).light, _style(name))


def _line_of(colour: str, style: Literal["-", ":"]) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linewidth=1.8, linestyle=style)


def _style(name: str) -> Literal["-", ":"]:
    # Besides their colours; what leads on an edge is a full line.
    return ":" if name == "none" else "-"


def _summaries(figure: Figure, at: SubplotSpec, every: _Epochs) -> None:
    entropies = {epoch: record.metrics.get("entropy") for epoch, record in every.items()}
    values = {epoch: record.validation for epoch, record in every.items()}
    names = {record.metric.name for record in every.values()}
    skips: dict[int, float | None] = dict.fromkeys(every)
    for epoch, record in every.items():
        if "normal" in record.cells:
            try:
                skips[epoch] = skips_in(cell_of(record, "normal"))
            except ValueError:
                continue  # a gap, as `nni_darts.history.gaps` says
    shown = [
        (f"validation {' or '.join(names)}", values),
        ("entropy of the weights (nats)", entropies),
    ]
    if any(value is not None for value in skips.values()):
        shown.append(("skips in the normal cell", skips))
    grid = at.subgridspec(1, len(shown), wspace=0.3)
    for i, (title, values) in enumerate(shown):
        axes = figure.add_subplot(grid[0, i])
        _prepare(axes, list(every))
        axes.set_title(title, size=_SMALL + 1, color=_INK, pad=4)
        numbers = [value for value in map(_number, values.values()) if not math.isnan(value)]
        if not numbers:
            axes.text(
                0.5,
                0.5,
                "not reported",
                size=_SMALL,
                color="#777777",
                ha="center",
                va="center",
                transform=axes.transAxes,
            )
            axes.set_yticks([])
            continue
        _plot(axes, values, color=_INK, linewidth=1.3)
        if values is skips:
            axes.set_ylim(-0.4, max(8.0, *numbers) + 0.4)
            axes.set_yticks(range(0, int(max(8, *numbers)) + 1, 2))
        axes.set_xlabel("epoch", size=_SMALL, labelpad=1, color=_INK)


def _multiples(
    figure: Figure, at: SubplotSpec, kind: str, edges: Sequence[tuple[int, int]], every: _Epochs
) -> None:
    nodes = sorted({node for node, _ in edges})
    sources = sorted({source for _, source in edges})
    columns = max(len(sources), 4)
    grid = at.subgridspec(len(nodes), columns, wspace=0.14, hspace=0.3)
    names = dict.fromkeys(
        name for record in every.values() for name in operations_of(record.cells.get(kind, {}))
    )
    rows = [record.cells.get(kind, {}) for record in every.values()]
    top = max(weight for row in rows for edge in row.values() for weight in edge.values())
    of_edges = {epoch: record.edge_weights_of(kind) for epoch, record in every.items()}
    top = max([top, *(weight for row in of_edges.values() for weight in row.values())])
    for node, source in edges:
        axes = figure.add_subplot(grid[nodes.index(node), sources.index(source)])
        _prepare(axes, list(every))
        axes.set_ylim(0, min(1.0, 1.08 * top))
        for name in names:
            values = {
                epoch: record.cells.get(kind, {}).get((node, source), {}).get(name)
                for epoch, record in every.items()
            }
            colour = colour_of(name).light
            _plot(axes, values, color=colour, linewidth=1.1, linestyle=_style(name))
        own = {epoch: row.get((node, source)) for epoch, row in of_edges.items()}
        if any(weight is not None for weight in own.values()):
            _plot(axes, own, color=_EDGE, linewidth=1.1, linestyle=":")
        ends = [_symbol(kind, source), _symbol(kind, node)]
        axes.set_title(r" $\to$ ".join(ends), size=_SMALL, color=_INK, pad=2)
        axes.tick_params(labelleft=source == sources[0], labelbottom=node == nodes[-1])


def _symbol(kind: str, state: int) -> str:
    name = state_name(kind, state)
    return f"${name}$" if "_" in name else name


def _prepare(axes: Axes, epochs: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=_SMALL - 1, length=2, pad=1.5, color="#AAAAAA", labelcolor=_INK)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#AAAAAA")


def _plot(axes: Axes, values: Mapping[int, Any], **style: Any) -> None:
    """Draw a line that breaks where epochs are missing; an epoch that stands alone is a dot."""
    known = {epoch: _number(value) for epoch, value in values.items()}
    epochs = range(min(known), max(known) + 1)
    y = [known.get(epoch, math.nan) for epoch in epochs]
    axes.plot(epochs, y, **style)
    padded = [math.nan, *y, math.nan]
    alone = [i for i in range(len(y)) if math.isnan(padded[i]) and math.isnan(padded[i + 2])]
    axes.plot([epochs[i] for i in alone], [y[i] for i in alone], ".", ms=3, color=style["color"])


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def heat_maps(record: EpochRecord, *, title: str | None = None) -> Figure:
    """Heat maps of the mixing weights in an epoch: edges by operations per cell, darker for more.

    Where edges have weights of their own, these stand beside their names.

    Args:
        record: record of any epoch of a search.
        title: text above all.

    Raises:
        ValueError: the record has no weights of edges.
    """
    from matplotlib.figure import Figure

    instance("record", record, EpochRecord, "the record of an epoch")
    weights = record.cells
    if not weights:
        raise ValueError("the record has no weights of edges")
    most = max(len(edges) for edges in weights.values())
    wide = max(len(operations_of(edges)) for edges in weights.values())
    width, height = (0.85 + 0.36 * wide) * len(weights) + 0.5, 1.35 + 0.24 * most
    figure = Figure(figsize=(width, height), facecolor=LIGHT, layout="constrained")
    if title:
        figure.suptitle(literal(title), size=10)
    panels = figure.subplots(1, len(weights), squeeze=False)[0]
    for axes, (kind, edges) in zip(panels, weights.items(), strict=True):
        names = operations_of(edges)
        values = [[row.get(name, math.nan) for name in names] for row in edges.values()]
        image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_title(CAPTIONS[kind], size=9, color=_INK)
        axes.set_xticks(
            range(len(names)),
            list(map(literal, names)),
            rotation=60,
            ha="right",
            rotation_mode="anchor",
            size=_SMALL,
        )
        ends = [r" $\to$ ".join([_symbol(kind, s), _symbol(kind, n)]) for n, s in edges]
        own = record.edge_weights_of(kind)
        beside = [f"  {_short(own[edge])}" if edge in own else "" for edge in edges]
        ticks = [end + weight for end, weight in zip(ends, beside, strict=True)]
        axes.set_yticks(range(len(edges)), ticks, size=_SMALL)
        axes.tick_params(length=0)
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                if not math.isnan(value):
                    ink = "white" if value > 0.55 else "black"
                    axes.text(x, y, _short(value), size=5.5, color=ink, ha="center", va="center")
    bar = figure.colorbar(image, ax=panels, shrink=0.6, pad=0.02)
    bar.ax.tick_params(labelsize=_SMALL)
    bar.set_label("weight", size=_SMALL)
    return figure


def _short(weight: float) -> str:
    return f"{weight:.2f}".removeprefix("0")
