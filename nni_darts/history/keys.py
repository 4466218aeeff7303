"""The keys of weights in a flat report: NNI's web UI shows twelve characters of a key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from nni_darts.genotypes.cell import KINDS
from nni_darts.history.record import CellEdge, Place

__all__ = ["LETTERS", "MAX_KEY", "SHORT", "edge_of", "is_of_edge", "short_edge", "short_keys"]

MAX_KEY = 12
"""Characters of a key that NNI's web UI shows."""
MAX_LABEL = 7
"""Characters of a key that its label may take."""

LETTERS = {"normal": "n", "reduce": "r", "recurrent": "c"}
"""Kind of cell -> its letter in a key."""

SHORT = {
    "none": "none",
    "max_pool_3x3": "maxp",
    "avg_pool_3x3": "avgp",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "sep_conv_7x7": "sep7",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
    "conv_7x1_1x7": "c7x1",
    "sigmoid": "sigm",
    "identity": "iden",
}
"""Operation -> its short name in a key; operations that are not listed keep their names."""

_KINDS = {letter: kind for kind, letter in LETTERS.items()}
_NAMES = {short: name for name, short in SHORT.items()}
_EDGE = re.compile(r"([nrc])(\d{1,2})<(\d{1,2})(?: (.+))?", re.ASCII)


def short_keys(choices: Mapping[Place, Iterable[str]]) -> dict[tuple[Place, str], str]:
    """A flat key of at most 12 characters for every choice at every place, all distinct.

    An edge of a cell reads `n2<0 sep3`: the normal cell's node 2 from its state 0. What would be
    longer or not distinct is cut and numbered, the label and the choice each by itself, so that
    what stands before the space tells the labels apart.
    """
    keys: dict[tuple[Place, str], str] = {}
    labels: set[str] = set()
    for place, names in choices.items():
        short = _distinct(_short_label(place), labels, MAX_LABEL)
        taken: set[str] = set()
        for name in names:
            candidate = SHORT.get(name, name).strip() or repr(name)
            candidate = _distinct(candidate, taken, MAX_KEY - len(short) - 1)
            keys[place, name] = f"{short} {candidate}"
    return keys


def _distinct(text: str, taken: set[str], most: int) -> str:
    """The text in at most so many characters; cut and numbered where that is taken already."""
    short, number = text[:most].strip(), 1
    while short in taken:
        number += 1
        short = f"{text[: max(0, most - len(str(number)) - 1)]}~{number}"
    taken.add(short)
    return short


def _short_label(place: Place) -> str:
    if isinstance(place, CellEdge):
        return short_edge(place)
    # A space ends the label, and < stands for an edge of a cell.
    label = "_".join(place.split()).replace("<", ".") or "_"
    # Room for the choice, which is what tells the keys of a label apart.
    return label if len(label) <= MAX_LABEL else f"{label[:3]}.{label[-3:]}"


def short_edge(edge: CellEdge) -> str:
    """An edge as `n2<0`, which alone is the key of the edge's own weight."""
    return f"{LETTERS[edge.kind]}{edge.node}<{edge.source}"


def is_of_edge(key: str) -> bool:
    """True if a key is written as those of an operation on an edge are."""
    return " " in key and _EDGE.fullmatch(key) is not None


def edge_of(key: str) -> tuple[CellEdge, str] | None:
    """The edge and the operation that a key names; no operation in the key of the edge's weight.

    Returns:
        None for the key of anything else. Operations that are not known keep their short names.
    """
    match = _EDGE.fullmatch(key)
    if match is None:
        return None
    edge = CellEdge(_KINDS[match[1]], int(match[2]), int(match[3]))
    if not KINDS[edge.kind].num_inputs <= edge.node > edge.source:
        return None
    operation = match[4] or ""
    return edge, _NAMES.get(operation, operation)
