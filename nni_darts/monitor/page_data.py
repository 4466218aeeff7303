"""A search as the alpha page shows it: its epochs in compact JSON, and back.

The JSON of a search, which nni_darts/monitor/page.html reads::

    {"version": 1, "key": "search-0", "seed": 0, "trial": "abcde", "planned": 50,
     "verdict": {"text": ..., "epoch": 12, "holds": true, "stopped": false} or null,
     "cells": [{"kind": "normal", "inputs": 2, "edges": [[2, 0], [2, 1], ...],
                "operations": ["none", ...], "colours": [[light, dark], ...],
                "layout": {...} or null}, ...],
     "figures": ["val_acc", ..., "gradient/loss", "schedule/Gumbel.tau", ...],
     "epochs": [[epoch, [figures], [[weights of a cell, edge by edge], ...],
                 [[edge, operation, edge, operation, ...] of the derived cell, ...] or null,
                 [[weight of an edge, edge by edge], ...]],
                ...]}

Edges are (node, source), operations of a derived cell are indices into `operations`, edges into
`edges`. The other choices of a space are one cell of the kind "choices", whose edges are labels; it
has "candidates" too, for each label the indices of its own operations, and "colours" for each of
these, but no layout, of which `nni_darts.monitor.page_cells` tells. What is not known is null; the
last part of an epoch is only there where a method weighs the edges into a node.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nni_darts._common.metric import ACCURACY, PERPLEXITY
from nni_darts.genotypes.cell import KINDS
from nni_darts.history.cells import derived, skips
from nni_darts.history.record import EpochRecord
from nni_darts.monitor.collapse import Figures, Verdict
from nni_darts.monitor.page_cells import layout_of
from nni_darts.pictures.colours import colour_of, colours_among

VERSION = 1
CHOICES = "choices"
"""The kind of what is no edge of a cell."""
_METRICS = tuple(name for m in (ACCURACY, PERPLEXITY) for name in (m.val, m.train))
FIGURES = (
    *_METRICS,
    "val_loss",
    "train_loss",
    "entropy",
    "skips",
    "seconds",
    "stage",
    "eigenvalue",
)
GROUPS = ("gradient/", "schedule/")
"""Beginnings of the names of figures that a method has, whichever they are."""
DIGITS = 4

Row: TypeAlias = "tuple[int, int] | str"
Table: TypeAlias = "dict[Row, dict[str, float]]"
"""Edge, or label -> operation -> weight."""


@dataclass
class Epoch:
    """Figures, weights and derived cells of an epoch."""

    number: int
    figures: dict[str, float | None]
    weights: dict[str, Table]
    """Kind of cell -> its table."""
    kept: dict[str, list[tuple[Row, str]]] | None
    """Kind of cell -> the edges that the derived cell has; None where there is no derived cell."""
    edge_weights: dict[str, dict[Row, float]] = field(default_factory=dict)
    """Kind of cell -> edge -> its weight among those into its node, where a method has them."""

    @classmethod
    def of(cls, record: EpochRecord) -> Epoch:
        weights: dict[str, Table] = {
            kind: {edge: row for edge, row in edges.items()} for kind, edges in record.cells.items()
        }
        if record.choices:
            weights[CHOICES] = {label: row for label, row in record.choices.items()}
        kept: dict[str, list[tuple[Row, str]]] | None = None
        count: int | None = None
        try:
            genotype = derived(record)
        except ValueError:  # a report that was cut, or a space that is not one of cells
            pass
        else:
            count = skips(genotype)
            kept = {
                cell.kind: [
                    ((node, edge.source), edge.operation)
                    for node, edges in enumerate(cell.nodes, cell.num_inputs)
                    for edge in edges
                ]
                for cell in genotype.cells
            }
        names = (*FIGURES, *(name for name in record.metrics if name.startswith(GROUPS)))
        figures = {name: _rounded(record.metrics.get(name)) for name in names}
        figures |= {record.metric.val: record.validation, "skips": count}
        edges: dict[str, dict[Row, float]] = {
            kind: {edge: weight for edge, weight in record.edge_weights_of(kind).items()}
            for kind in dict.fromkeys(edge.kind for edge in record.edge_weights)
        }
        return cls(record.epoch, figures, weights, kept, edges)


def _rounded(number: float | None) -> float | None:
    # JSON has neither NaN nor infinity.
    return None if number is None or not math.isfinite(number) else float(f"{number:.5g}")


@dataclass
class Search:
    """The epochs of one search, whichever trials ran it."""

    key: str
    seed: int
    trial: str
    """The last one."""
    status: str = "running"
    """One of running, succeeded, failed and stopped."""
    planned: int | None = None
    """Number of epochs that the search will have; None while it is not known."""
    verdict: Verdict | None = None
    stopped: bool = False
    epochs: dict[int, Epoch] = field(default_factory=dict)
    _encoded: dict[int, str] = field(default_factory=dict)
    _head: tuple[Any, ...] = ()

    def add(self, epoch: Epoch) -> None:
        """Take an epoch; a trial that goes back to its checkpoint does those after it again."""
        for later in [number for number in self.epochs if number >= epoch.number]:
            del self.epochs[later]
            self._encoded.pop(later, None)
        self.epochs[epoch.number] = epoch

    def figures(self) -> list[Figures]:
        """Figures of the epochs, which the verdict depends on."""
        return [
            Figures(
                number,
                None if count is None else int(count),
                epoch.figures["entropy"],
                # An earlier version did not know it.
                epoch.figures.get("eigenvalue"),
            )
            for number, epoch in self.epochs.items()
            for count in [epoch.figures["skips"]]
        ]

    def to_json(self) -> str:
        cells = list(self._cells())
        figures = self._figures()
        head = (figures, *((kind, tuple(rows), tuple(names)) for kind, rows, names in cells))
        if head != self._head:  # else the epochs before are as they were
            self._head, self._encoded = head, {}
        for number, epoch in self.epochs.items():
            if number not in self._encoded:
                self._encoded[number] = _compact(_encode(epoch, cells, figures))
        verdict = self.verdict and {
            "text": self.verdict.text,
            "epoch": self.verdict.first,
            "holds": self.verdict.holds,
            "stopped": self.stopped,
        }
        values = {
            "version": VERSION,
            "key": self.key,
            "seed": self.seed,
            "trial": self.trial,
            "planned": self.planned,
            "verdict": verdict,
            "cells": [
                {
                    "kind": kind,
                    "inputs": KINDS[kind].num_inputs if kind in KINDS else 0,
                    "edges": rows,
                    "operations": names,
                    **self._looks(kind, rows, names),
                }
                for kind, rows, names in cells
            ],
            "figures": figures,
        }
        return f'{_compact(values)[:-1]},"epochs":[{",".join(self._encoded.values())}]}}'

    @classmethod
    def from_json(cls, text: str, status: str) -> Search:
        """Raises ValueError, KeyError, TypeError or IndexError for what `to_json` did not write."""
        values = json.loads(text)
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']!r} of the alpha page's data")
        cells = [
            (c["kind"], [r if isinstance(r, str) else (r[0], r[1]) for r in c["edges"]], c)
            for c in values["cells"]
        ]
        search = cls(values["key"], values["seed"], values["trial"], status, values["planned"])
        if (verdict := values["verdict"]) is not None:
            search.verdict = Verdict(verdict["epoch"], verdict["holds"], verdict["text"])
            search.stopped = verdict["stopped"]
        for number, figures, weights, kept, *edge_weights in values["epochs"]:
            epoch = Epoch(number, dict(zip(values["figures"], figures, strict=True)), {}, None)
            if kept is not None:
                epoch.kept = {}
            for i, (kind, rows, cell) in enumerate(cells):
                names = cell["operations"]
                width = len(names)
                for j, row in enumerate(rows):
                    # In the order of its own candidates, by which they have their colours.
                    own = cell["candidates"][j] if "candidates" in cell else range(width)
                    read = {names[o]: weights[i][j * width + o] for o in own}
                    found = {name: weight for name, weight in read.items() if weight is not None}
                    if found:
                        epoch.weights.setdefault(kind, {})[row] = found
                if edge_weights and kind in KINDS:
                    told = zip(rows, edge_weights[0][i], strict=True)
                    epoch.edge_weights[kind] = {row: w for row, w in told if w is not None}
                if epoch.kept is not None and kind in KINDS:
                    pairs = zip(kept[i][::2], kept[i][1::2], strict=True)
                    epoch.kept[kind] = [(rows[edge], names[name]) for edge, name in pairs]
            search.epochs[number] = epoch
        return search

    def _figures(self) -> tuple[str, ...]:
        """Names of the figures of any epoch."""
        found = dict.fromkeys(name for e in self.epochs.values() for name in e.figures)
        return (*FIGURES, *sorted(found.keys() - set(FIGURES)))

    def _cells(self) -> Iterator[tuple[str, list[Row], list[str]]]:
        """Kind, edges and operations of each cell, those of any epoch."""
        for kind in (*KINDS, CHOICES):
            tables = [e.weights[kind] for e in self.epochs.values() if kind in e.weights]
            rows = dict.fromkeys(row for table in tables for row in table)
            if rows:
                names = _names(row for table in tables for row in table.values())
                yield kind, list(rows) if kind == CHOICES else sorted(rows, key=_order), names

    def _looks(self, kind: str, rows: list[Row], names: list[str]) -> dict[str, Any]:
        """The colours of a cell's operations and its layout; of other choices, colours for each."""
        if kind != CHOICES:
            edges = [row for row in rows if not isinstance(row, str)]
            colours = [colour_of(name) for name in names]
            return {"colours": colours, "layout": layout_of(kind, edges, names)}
        tables = [e.weights[CHOICES] for e in self.epochs.values() if CHOICES in e.weights]
        candidates = [_names(t[row] for t in tables if row in t) for row in rows]
        place = {name: i for i, name in enumerate(names)}
        return {
            "candidates": [[place[name] for name in own] for own in candidates],
            "colours": [colours_among(own) for own in candidates],
        }


def _names(rows: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _order(row: Row) -> tuple[int, int]:
    return (0, 0) if isinstance(row, str) else row


def _encode(
    epoch: Epoch, cells: list[tuple[str, list[Row], list[str]]], shown: tuple[str, ...]
) -> list[Any]:
    weights, kept = [], []
    for kind, rows, names in cells:
        table = epoch.weights.get(kind, {})
        values = [table.get(row, {}).get(name) for row in rows for name in names]
        weights.append(_shortened(values))
        chosen = epoch.kept.get(kind, []) if epoch.kept else []
        kept.append([i for row, name in chosen for i in (rows.index(row), names.index(name))])
    # An earlier version of the page may have known fewer.
    figures = [epoch.figures.get(name) for name in shown]
    edges = [_shortened(map(epoch.edge_weights.get(k, {}).get, rows)) for k, rows, _ in cells]
    whole = [epoch.number, figures, weights, None if epoch.kept is None else kept]
    return [*whole, edges] if epoch.edge_weights else whole


def _shortened(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else round(value, DIGITS) for value in values]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
