"""An epoch's record as a flat mapping, for NNI and for CSV, and back: the only place that does it.

`n2<0 sep3` is the weight of sep_conv_3x3 on the edge from state 0 into node 2 of the normal cell,
`LABEL CANDIDATE` that of another choice, cut to twelve characters; what such keys are cut from
stands in the mapping as JSON: short label -> [label, {short candidate: candidate}].
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from nni_darts._common import limits
from nni_darts._common.metric import metric_of
from nni_darts.history.keys import edge_of, is_of_edge, short_edge, short_keys
from nni_darts.history.record import CellEdge, Choices, EpochRecord, Place

__all__ = ["NAMES", "Report", "epoch_of", "from_flat", "to_flat"]

Report: TypeAlias = "dict[str, Any]"
"""Numbers by their keys, and `NAMES`, a text, where those are cut."""

NAMES = "choices"
"""The key of what the keys stand for; reports without cut keys are without it."""

_NO_METRICS = ("default", "epoch", "key", NAMES)
_MAX_TEXT = 2_000_000  # characters; a candidate needs about fifty
_TOLERANCE = 0.05  # of a sum of weights that were rounded, or computed in half precision

_Names: TypeAlias = "dict[str, tuple[str, dict[str, str]]]"


def to_flat(record: EpochRecord) -> Report:
    """The numbers of a record by their keys, and what the keys stand for where they are cut."""
    keys = short_keys(record.weights)
    weights = {keys[place, o]: w for place, row in record.weights.items() for o, w in row.items()}
    edges = {short_edge(edge): weight for edge, weight in record.edge_weights.items()}
    names = _names_of(keys)
    return {
        "default": record.default,
        "epoch": record.epoch,
        **record.metrics,
        **weights,
        **edges,
        **({NAMES: names} if names else {}),
    }


def from_flat(report: Mapping[Any, Any]) -> EpochRecord:
    """The record of which a report was made.

    Keys of anything else and values that are no weights (such as the empty ones of a cut row) are
    left aside: see `nni_darts.history.gaps`. The metric and whether it was measured on validation
    data are not said in a report, and are told from what else it has.

    Raises:
        ValueError: the report has no epoch.
    """
    epoch = epoch_of(report)
    if epoch is None:
        raise ValueError(f"a report must have an epoch, got {report.get('epoch')!r}")
    weights: dict[Place, dict[str, float]] = {}
    edge_weights: dict[CellEdge, float] = {}
    metrics: dict[str, float] = {}
    others: dict[str, dict[str, float]] = {}
    for key, value in ((str(k), v) for k, v in report.items()):
        weight = _weight(value)
        if edge := edge_of(key):
            if weight is not None and edge[1]:
                weights.setdefault(edge[0], {})[edge[1]] = weight
            elif weight is not None:
                edge_weights[edge[0]] = weight
            continue
        short, _, candidate = key.partition(" ")
        if candidate and not is_of_edge(key) and weight is not None:
            others.setdefault(short, {})[candidate] = weight
        number = None if candidate or key in _NO_METRICS else _number(value)
        if number is not None:
            metrics[key] = number
    weights.update(_named_choices(others, str(report.get(NAMES, ""))).items())
    metric = metric_of(report)
    default = _number(report.get(metric.val, report.get("default")))
    # Without validation data `default` is the metric on the training data.
    told = metric.val in report or "val_loss" in report or default != metrics.get(metric.train)
    default = math.nan if default is None else default
    return EpochRecord(epoch, metric, default, told, metrics, weights, edge_weights)


def epoch_of(report: Mapping[Any, Any]) -> int | None:
    """The epoch of a report, counted from 0; None if it has none, or what it has is none."""
    number = _number(report.get("epoch"))
    if number is None or not float(number).is_integer() or not 0 <= number <= limits.EPOCHS:
        return None
    return int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return value if isinstance(value, int | float) else float(value)
    except (TypeError, ValueError):
        return None


def _weight(value: Any) -> float | None:
    number = _number(value)
    # A softmax in half precision may exceed 1 by a little.
    return float(number) if number is not None and 0 <= number <= 1.01 else None


def _names_of(keys: Mapping[tuple[Place, str], str]) -> str:
    """Full names of the keys that are cut, as JSON; empty where no choice has such a key."""
    names: _Names = {}
    for (place, candidate), key in keys.items():
        if isinstance(place, str) and key != f"{place} {candidate}":
            short, _, cut = key.partition(" ")
            names.setdefault(short, (place, {}))[1][cut] = candidate
    return json.dumps(names, ensure_ascii=False, separators=(",", ":")) if names else ""


def _named_choices(found: dict[str, dict[str, float]], text: str) -> Choices:
    """The choices by their whole labels and candidates.

    What does not add up to 1, as where a row was cut, is left aside.
    """
    found = {short: row for short, row in found.items() if abs(sum(row.values()) - 1) <= _TOLERANCE}
    names = _read(text)
    labels = [names.get(short, (short, {}))[0] for short in found]
    if len(set(labels)) < len(labels):  # of damaged names
        names = {}
    return {names.get(s, (s, {}))[0]: _named(row, names.get(s)) for s, row in found.items()}


def _named(row: dict[str, float], names: tuple[str, dict[str, str]] | None) -> dict[str, float]:
    if names is None:
        return row
    full = [names[1].get(cut, cut) for cut in row]
    # 1 and "1" are two candidates.
    return dict(zip(full, row.values(), strict=True)) if len(set(full)) == len(row) else row


@functools.lru_cache(maxsize=32)
def _read(text: str) -> _Names:
    """The names; none where the text is damaged: the short ones then do."""
    if not text.startswith("{") or len(text) > _MAX_TEXT:
        return {}
    try:
        return {
            str(short): (str(label), {str(cut): str(name) for cut, name in row.items()})
            for short, (label, row) in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}
