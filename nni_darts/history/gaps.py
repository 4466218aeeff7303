"""Gaps in the history of a search: all that its pictures lack to be whole."""

from __future__ import annotations

from collections.abc import Iterable

from nni_darts.genotypes.cell import KINDS, OPERATIONS
from nni_darts.history.record import EpochRecord, Place

__all__ = ["gaps"]


def gaps(records: Iterable[EpochRecord]) -> list[str]:
    """Describe all that a history lacks for its pictures to be whole, a line each.

    Epochs are counted from 1 in words, as on the screen, and from 0 in records.

    Args:
        records: of one run, in the order of their epochs.
    """
    records = list(records)
    lines = []

    epochs = {record.epoch for record in records}
    absent = [epoch for epoch in range(max(epochs, default=-1) + 1) if epoch not in epochs]
    if absent:
        lines.append(f"no report of epoch{'s' * (len(absent) > 1)} {_ranges(absent)}")

    whole: dict[str, dict[tuple[int, int], set[str]]] = {}
    for record in records:
        for kind, edges in record.cells.items():
            for edge, row in edges.items():
                whole.setdefault(kind, {}).setdefault(edge, set()).update(row)
    # A stage of a progressive search has fewer operations than the one before.
    stages: dict[float | None, dict[Place, set[str]]] = {}
    for record in records:
        names_of = stages.setdefault(record.metrics.get("stage"), {})
        for place, weights in record.weights.items():
            names_of.setdefault(place, set()).update(weights)
    cut = [
        record.epoch
        for record in records
        if {p: set(row) for p, row in record.weights.items()} != stages[record.metrics.get("stage")]
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
