"""The operations of each edge of a cell space: one list for all edges, or one for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from nni_darts._common.checks import texts
from nni_darts._common.messages import unknown
from search_spaces.operations import check_primitives

Primitives: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]]
"""Names of the operations on every edge, or of those on each edge by its label."""


def by_edge(primitives: Primitives, labels: Collection[str]) -> dict[str, list[str]]:
    """Names of the operations on each edge, in the order given.

    Args:
        primitives: keys of `search_spaces.operations.OPERATIONS`.
        labels: labels of all edges of the space.

    Raises:
        ValueError: in one line, see `check_primitives`; and where there are lists for edges, unless
            there is one for each edge of the space.
    """
    if not isinstance(primitives, Mapping):
        check_primitives(primitives)
        return {label: list(primitives) for label in labels}
    for label in primitives:
        if label not in labels:
            raise ValueError(f"primitives: {unknown('edge', label, labels)}")
    if missing := [label for label in labels if label not in primitives]:
        raise ValueError(
            f"primitives must have the operations of every edge of the space, {len(labels)} edges, "
            f"got none for {missing[0]}; add them, or give one list for all edges"
        )
    for label in labels:
        try:
            check_primitives(primitives[label])
        except ValueError as error:
            raise ValueError(f"edge {label}: {error}") from None
    return {label: list(primitives[label]) for label in labels}


def names_in(primitives: Primitives) -> tuple[str, ...]:
    """Names of all operations on any edge, each once."""
    if not isinstance(primitives, Mapping):
        return tuple(texts("primitives", primitives))
    return tuple(dict.fromkeys(name for row in primitives.values() for name in row))
