"""The weights of choices that are no edges of our cells, as the reports of a search tell them.

Any space has them: a `LayerChoice`, an `InputChoice`, the depth of a `Repeat`, a value. Their keys,
`LABEL CANDIDATE`, have at most twelve characters; what they are cut from stands in the report as
JSON: short label -> [label, {short candidate: candidate}].
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from nni_darts.history.edge_keys import EDGE

__all__ = ["NAMES", "Choices", "choices_of", "names_of"]

Choices: TypeAlias = "dict[str, dict[str, float]]"
"""Label -> candidate -> weight in [0, 1], each in the order of the report."""

NAMES = "choices"
"""The key of what the keys stand for; reports without cut keys are without it."""

_MAX_TEXT = 2_000_000  # characters; a candidate needs about fifty
_TOLERANCE = 0.05  # of a sum of weights that were rounded, or computed in half precision

_Names: TypeAlias = "dict[str, tuple[str, dict[str, str]]]"


def names_of(keys: Mapping[tuple[str, Any], str]) -> str:
    """What the keys stand for; empty if each says it itself, or is that of an edge of a cell.

    Args:
        keys: (label, candidate) -> key, see `nni_darts.runs.reporter.short_keys`.
    """
    names: _Names = {}
    for (label, candidate), key in keys.items():
        short, _, cut = key.partition(" ")
        if not EDGE.fullmatch(key) and key != f"{label} {candidate}":
            names.setdefault(short, (label, {}))[1][cut] = str(candidate)
    return json.dumps(names, ensure_ascii=False, separators=(",", ":")) if names else ""


def choices_of(report: Mapping[Any, Any]) -> Choices:
    """The weights of an epoch's choices but for the edges of our cells.

    What does not add up to 1, as where a row was cut, is left aside.
    """
    found: Choices = {}
    for key, value in report.items():
        short, _, candidate = str(key).partition(" ")
        if not candidate or EDGE.fullmatch(str(key)) or isinstance(value, bool):
            continue
        try:
            weight = float(value)
        except (TypeError, ValueError):
            continue
        # A softmax in half precision may exceed 1 by a little.
        if 0 <= weight <= 1.01:
            found.setdefault(short, {})[candidate] = weight
    found = {short: row for short, row in found.items() if abs(sum(row.values()) - 1) <= _TOLERANCE}
    names = _read(str(report.get(NAMES, "")))
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
