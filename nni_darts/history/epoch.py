"""A search as its reports tell it: mixing weights, strengths and the derived cells of each epoch.

A report is what `nni_darts.runs.reporter` makes of an epoch: a flat mapping in which `n2<0 sep3` is
the weight of sep_conv_3x3 on the edge from state 0 into node 2 of the normal cell. Reports come
from history.csv, or from NNI. Neither pandas nor torch nor NNI is needed to read them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from nni_darts._common.metric import metric_of
from nni_darts.genotypes.cell import KINDS, NONE, OPERATIONS, Cell
from nni_darts.genotypes.derivation import derive
from nni_darts.genotypes.genotype import Genotype
from nni_darts.history.choice_weights import choices_of
from nni_darts.history.edge_keys import EDGE, LETTERS, SHORT

__all__ = [
    "Edges",
    "Weights",
    "alphas_of",
    "derived",
    "derived_cell",
    "gaps",
    "operations_of",
    "skips",
    "skips_in",
    "strengths",
    "validation",
]

Edges: TypeAlias = "dict[tuple[int, int], dict[str, float]]"
"""(node, source) -> operation -> weight in [0, 1]; node and source are state indices."""

Weights: TypeAlias = "dict[str, Edges]"
"""Kind of cell -> its edges, in the order of `KINDS`."""

# What `nni_darts.runs.reporter.short_keys` writes, read backwards.
_KINDS = {letter: kind for kind, letter in LETTERS.items()}
_NAMES = {short: name for name, short in SHORT.items()}


def alphas_of(report: Mapping[Any, Any]) -> Weights:
    """The mixing weights of an epoch, softmax(alpha), from their short keys.

    Operations that are not known keep their short names. Keys of anything else and values that are
    no weights (such as the empty ones of a cut row) are left aside: see `gaps`.

    Returns:
        Only kinds of cells and edges that have a weight; operations in the order of the report,
        edges by node, then by source. Empty for the report of a run that searches no cells.
    """
    found: Weights = {kind: {} for kind in KINDS}
    for key, value in report.items():
        match = EDGE.fullmatch(str(key))
        weight = _weight(value)
        if match is None or weight is None:
            continue
        kind, node, source = _KINDS[match[1]], int(match[2]), int(match[3])
        if KINDS[kind].num_inputs <= node > source:
            operation = _NAMES.get(match[4], match[4])
            found[kind].setdefault((node, source), {})[operation] = weight
    return {kind: dict(sorted(edges.items())) for kind, edges in found.items() if edges}


def _weight(value: Any) -> float | None:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        return None
    # A softmax in half precision may exceed 1 by a little.
    return weight if 0 <= weight <= 1.01 else None


def operations_of(edges: Edges) -> list[str]:
    """The names of all operations on any of the edges, in the order in which they come."""
    return list(dict.fromkeys(name for row in edges.values() for name in row))


def strengths(edges: Edges) -> dict[tuple[int, int], float]:
    """(node, source) -> how strong the edge is: the largest weight of its operations but none."""
    return {
        edge: max((weight for name, weight in row.items() if name != NONE), default=0.0)
        for edge, row in edges.items()
    }


def derived_cell(kind: str, edges: Edges) -> Cell:
    """The cell that `nni_darts.genotypes.derivation.derive` makes of the weights.

    An edge without weights is never chosen, so a node may keep fewer edges than its kind's 2
    (recurrent: 1).

    Raises:
        ValueError: a node has no edge with weights, or the kind is not known.
    """
    num_inputs = KINDS[kind].num_inputs if kind in KINDS else 0
    # An edge without weights is taken for one that is none for certain.
    names = list(dict.fromkeys([*operations_of(edges), NONE]))
    nodes = range(num_inputs, max((node for node, _ in edges), default=num_inputs) + 1)
    alphas = [
        [_log(edges.get((node, source), {NONE: 1.0}).get(name, 0.0)) for name in names]
        for node in nodes
        for source in range(node)
    ]
    # Rounded to nothing: no operation of the edge is more likely than another.
    alphas = [row if max(row) > -math.inf else [0.0] * len(row) for row in alphas]
    if names == [NONE]:
        raise ValueError(f"the {kind} cell has no weights of operations other than none")
    cell = derive(alphas, names, kind=kind)
    kept = [
        tuple(edge for edge in cell.nodes[node - num_inputs] if (node, edge.source) in edges)
        for node in nodes
    ]
    if () in kept:
        raise ValueError(
            f"the {kind} cell cannot be derived: no weights of the edges into node "
            f"{num_inputs + kept.index(())}"
        )
    return Cell(kind, tuple(kept), cell.concat, names)


def _log(weight: float) -> float:
    return math.log(weight) if weight > 0 else -math.inf


def derived(report: Mapping[Any, Any]) -> Genotype:
    """The genotype that the search would have given after this epoch.

    Raises:
        ValueError: the weights are not those of a normal and a reduction cell, or of a recurrent
            one; or as `derived_cell`.
    """
    return Genotype(tuple(derived_cell(kind, edges) for kind, edges in alphas_of(report).items()))


def skips(genotype: Genotype) -> int:
    """How many edges of the normal cell are skip connections; 0 in a recurrent genotype."""
    return sum(skips_in(cell) for cell in genotype.cells if cell.kind == "normal")


def skips_in(cell: Cell) -> int:
    """How many edges of a cell are skip connections."""
    return sum(edge.operation == "skip_connect" for node in cell.nodes for edge in node)


def validation(report: Mapping[Any, Any]) -> float | None:
    """The validation metric of an epoch, `nni_darts._common.metric.metric_of(report)`; None without
    one.
    """
    metric = metric_of(report)
    value: Any = report.get(metric.val, report.get("default"))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    # Without validation data `default` is the metric on the training data.
    told = metric.val in report or number != report.get(metric.train)
    return number if told and metric.least <= number <= metric.most else None


def gaps(reports: Iterable[Mapping[Any, Any]]) -> list[str]:
    """What a history lacks for its pictures to be whole, a line each; nothing if it lacks nothing.

    Epochs are counted from 1 in words, as on the screen, and from 0 in reports.

    Args:
        reports: of one run, in the order of their epochs.
    """
    reports = list(reports)
    every = [alphas_of(report) for report in reports]
    candidates = [{c: set(row) for c, row in choices_of(r).items()} for r in reports]
    lines = []

    epochs = {int(report["epoch"]) for report in reports}
    absent = [epoch for epoch in range(max(epochs, default=-1) + 1) if epoch not in epochs]
    if absent:
        lines.append(f"no report of epoch{'s' * (len(absent) > 1)} {_ranges(absent)}")

    whole: dict[str, dict[tuple[int, int], set[str]]] = {}
    for weights in every:
        for kind, edges in weights.items():
            for edge, row in edges.items():
                whole.setdefault(kind, {}).setdefault(edge, set()).update(row)
    choices: dict[str, set[str]] = {}
    for found in candidates:
        for label, names in found.items():
            choices.setdefault(label, set()).update(names)
    cut = [
        int(report["epoch"])
        for report, weights, found in zip(reports, every, candidates, strict=True)
        if {k: {e: set(row) for e, row in edges.items()} for k, edges in weights.items()} != whole
        or found != choices
    ]
    if cut:
        lines.append(f"weights are missing in epoch{'s' * (len(cut) > 1)} {_ranges(cut)}")

    for kind in sorted(whole, key=list(KINDS).index):
        last = max(node for node, _ in whole[kind])
        nodes = range(KINDS[kind].num_inputs, last + 1)
        missing = [f"{n}<{s}" for n in nodes for s in range(n) if (n, s) not in whole[kind]]
        if missing:
            lines.append(f"no weights of these edges of the {kind} cell: {_some(missing)}")

    kinds = set(whole)
    if kinds and "recurrent" not in kinds and kinds != {"normal", "reduce"}:
        other = ({"normal", "reduce"} - kinds).pop()
        lines.append(f"no weights of the {other} cell")
    names = {name for edges in whole.values() for row in edges.values() for name in row}
    if unknown := sorted(names - set(OPERATIONS)):
        lines.append(f"unknown operations keep their short names: {_some(unknown)}")
    return lines


def _some(names: list[str], most: int = 8) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _ranges(epochs: list[int]) -> str:
    """Ascending epochs from 0 as `3, 5-7`, from 1."""
    parts: list[list[int]] = []
    for epoch in epochs:
        if parts and epoch == parts[-1][1] + 1:
            parts[-1][1] = epoch
        else:
            parts.append([epoch, epoch])
    return _some([f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in parts])
