"""The record of an epoch: what a run says of it, as one object.

Who makes a record hands it on as it is; text for NNI and for CSV is made of it, and it of that, by
`nni_darts.history.flat`. Neither pandas nor torch nor NNI is needed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from nni_darts._common.metric import Metric
from nni_darts.genotypes.cell import KINDS

__all__ = ["HISTORY", "CellEdge", "Choices", "Edges", "EpochRecord", "Place", "Weights", "place_of"]

Edges: TypeAlias = "dict[tuple[int, int], dict[str, float]]"
"""Map (node, source) -> operation -> weight in [0, 1]; node and source are state indices."""

Weights: TypeAlias = "dict[str, Edges]"
"""Kind of cell -> its edges, in the order of `KINDS`."""

Choices: TypeAlias = "dict[str, dict[str, float]]"
"""Label -> candidate -> weight in [0, 1], each in the order of the space."""


class CellEdge(NamedTuple):
    """An edge of a cell, from state `source` into state `node`."""

    kind: str
    node: int
    source: int


Place: TypeAlias = "CellEdge | str"
"""Place of a choice: an edge of a cell, or the label of any other choice of a space."""

_EDGE = re.compile(rf"({'|'.join(KINDS)})_(0|[1-9]\d?)_(0|[1-9]\d?)", re.ASCII)


def place_of(label: str) -> Place:
    """The edge that a space's label `normal_2_0` names; any other label as it is."""
    if match := _EDGE.fullmatch(label):
        edge = CellEdge(match[1], int(match[2]), int(match[3]))
        if KINDS[edge.kind].num_inputs <= edge.node > edge.source:
            return edge
    return label


def is_edge(place: Place) -> TypeGuard[CellEdge]:
    """True if a place is an edge of a cell."""
    return isinstance(place, CellEdge)


HISTORY = "history.csv"
"""Name of the file in a run's folder that keeps its records."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a search or of a training."""

    epoch: int
    """Counted from 0."""
    metric: Metric
    """Metric that `default` is a value of."""
    default: float
    """Value that NNI shows and compares; NaN if it is not known."""
    validated: bool
    """True if `default` was measured on validation data, False if on training data."""
    metrics: Mapping[str, float]
    """All other numbers by their names, in the order in which they are shown."""
    weights: Mapping[Place, Mapping[str, float]] = field(default_factory=dict)
    """Place -> operation or candidate -> its mixing weight in [0, 1]; empty for a training."""
    edge_weights: Mapping[CellEdge, float] = field(default_factory=dict)
    """The weight in [0, 1] of each edge among those into its node, where a method has them."""

    @classmethod
    def of_search(
        cls,
        epoch: int,
        metric: Metric,
        metrics: Mapping[str, float],
        probabilities: Mapping[str, Mapping[Any, float]],
        edge_weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> EpochRecord:
        """Record an epoch of a search; the entropy of its mixing weights is added to the metrics.

        Args:
            epoch: counted from 0.
            metric: measured on the validation data; `metrics` has it.
            metrics: as the trainer has them.
            probabilities: label -> choice -> its mixing weight.
            edge_weights: label of a node -> label of an edge into it -> its weight. Nodes whose
                edges are no edges of cells are recorded as choices among these.
        """
        others = {name: metrics[name] for name in sorted(metrics) if name != metric.val}
        weights = {place_of(label): _by_text(row) for label, row in probabilities.items()}
        of_edges: dict[CellEdge, float] = {}
        for label, row in (edge_weights or {}).items():
            places = {place: w for edge, w in row.items() if is_edge(place := place_of(edge))}
            if len(places) == len(row):
                of_edges |= places
            else:
                weights[place_of(label)] = dict(row)
        return cls(
            epoch,
            metric,
            metrics[metric.val],
            True,
            {**others, "entropy": mean_entropy(probabilities)},
            weights,
            of_edges,
        )

    @classmethod
    def of_training(cls, epoch: int, metric: Metric, metrics: Mapping[str, float]) -> EpochRecord:
        """Record an epoch of a training, with or without validation data.

        Args:
            epoch: counted from 0.
            metric: of which `metrics` has the value on validation or on training data.
            metrics: as the trainer has them.
        """
        validated = metric.val in metrics
        default = metrics[metric.val if validated else metric.train]
        others = {name: metrics[name] for name in sorted(metrics) if name != metric.val}
        return cls(epoch, metric, default, validated, others)

    @property
    def validation(self) -> float | None:
        """The metric on validation data; None without such data, or where it is no such value."""
        in_range = self.metric.least <= self.default <= self.metric.most
        return self.default if self.validated and in_range else None

    @cached_property
    def cells(self) -> Weights:
        """Kind of cell -> edge -> operation -> weight; edges by node, then by source.

        Only kinds of cells and edges that have a weight; empty where no cells are searched.
        """
        found: Weights = {kind: {} for kind in KINDS}
        for place, row in self.weights.items():
            if isinstance(place, CellEdge) and row:
                found[place.kind][place.node, place.source] = dict(row)
        return {kind: dict(sorted(edges.items())) for kind, edges in found.items() if edges}

    @cached_property
    def choices(self) -> Choices:
        """Label -> candidate -> weight, of all choices that are no edges of cells."""
        return {p: dict(row) for p, row in self.weights.items() if not isinstance(p, CellEdge)}

    def edge_weights_of(self, kind: str) -> dict[tuple[int, int], float]:
        """Map (node, source) -> weight of the edge in cells of a kind; empty if they have none."""
        return {(e.node, e.source): w for e, w in self.edge_weights.items() if e.kind == kind}


def mean_entropy(probabilities: Mapping[str, Mapping[Any, float]]) -> float:
    """The mean over labels of the entropy of their mixing weights, in nats.

    log(number of choices) where nothing is preferred, 0 where all is decided.
    """
    rows = [list(row.values()) for row in probabilities.values()]
    return sum(-sum(p * math.log(p) for p in row if p > 0) for row in rows) / len(rows)


def _by_text(row: Mapping[Any, float]) -> dict[str, float]:
    """The weights by the texts of their candidates; 1 and "1" become two texts."""
    found: dict[str, float] = {}
    for candidate, weight in row.items():
        text, number = str(candidate), 1
        while text in found:
            number += 1
            text = f"{candidate}~{number}"
        found[text] = weight
    return found
