"""Pruning of a progressive search: operations that an edge keeps, and a limit of skip connections.

From P-DARTS (Chen et al., ICCV 2019, arXiv 1904.12760), as its code has it: operations are compared
with those of the same edge only, `none` among them. Weights are mixing weights by their names, as
reports have them; nothing is normalised anew when one is taken away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import TypeVar

from nni_darts._common.checks import size
from nni_darts.genotypes.cell import NONE, Cell, kind_of
from nni_darts.genotypes.derivation import best_edges, options

__all__ = ["SKIP", "cell_of_few_skips", "likeliest", "surplus_skips"]

SKIP = "skip_connect"

E = TypeVar("E", bound=Hashable)
_Edge = tuple[int, int]


def likeliest(weights: Mapping[E, Mapping[str, float]], keep: int) -> dict[E, tuple[str, ...]]:
    """Names of the `keep` likeliest operations of each edge, in the edge's own order.

    Args:
        weights: edge -> operation -> mixing weight; of equal ones, the first go first.
        keep: at least 1; an edge of fewer operations keeps them all.

    Raises:
        ValueError: keep is below 1.
    """
    keep = size("keep", keep, 1, math.inf)
    kept = {}
    for edge, row in weights.items():
        # The sort is stable: of equal ones the first are the least.
        left = set(sorted(row, key=row.__getitem__)[-keep:])
        kept[edge] = tuple(name for name in row if name in left)
    return kept


def surplus_skips(chosen: Callable[[Collection[E]], Mapping[E, float]], most: int) -> frozenset[E]:
    """Edges whose skip connection is taken away until no more than `most` are chosen.

    The weakest of those that are chosen goes, then edges and operations are chosen again: another
    edge may come in its place, with a skip connection of its own.

    Args:
        chosen: returns the edges that are chosen with a skip connection, and its mixing weight on
            each, once the skip connections of some edges are taken away.
        most: skip connections that may stay.
    """
    removed: frozenset[E] = frozenset()
    while len(skips := chosen(removed)) > most:
        removed |= {min(skips, key=skips.__getitem__)}
    return removed


def cell_of_few_skips(
    weights: Mapping[_Edge, Mapping[str, float]], most: int, kind: str = "normal"
) -> Cell:
    """Cell derived from mixing weights, with at most `most` skip connections (`surplus_skips`).

    Args:
        weights: (node, source) -> operation -> mixing weight in [0, 1]; every edge of the cell has
            a row, of the operations that it still has.
        most: skip connections that the cell may have, at least 0.
        kind: "normal", "reduce" or "recurrent".

    Raises:
        ValueError: a node has not enough edges with an operation besides none, and besides the skip
            connections that had to go; or an argument is out of its range.
    """
    most = size("most", most, 0, math.inf)
    first, k, _ = kind_of(kind)
    concat = tuple(range(first, max((node for node, _ in weights), default=first) + 1))

    def derived(removed: Collection[_Edge]) -> Cell:
        nodes = []
        for node in concat:
            incoming = []
            for source in range(node):
                row = weights.get((node, source), {})
                left = [o for o in row if o != SKIP or (node, source) not in removed]
                incoming.append(options([_log(row[o]) for o in left], left))
            if sum(map(bool, incoming)) < k:
                raise ValueError(
                    f"the {kind} cell cannot be derived with at most {most} skip connections: node "
                    f"{node} needs {k} edges with an operation besides {NONE} and {SKIP}"
                )
            ((_, edges),) = best_edges(incoming, k, 1)
            nodes.append(edges)
        names = [name for row in weights.values() for name in row]
        return Cell(kind, tuple(nodes), concat, list(dict.fromkeys([*names, NONE])))

    def skips(removed: Collection[_Edge]) -> dict[_Edge, float]:
        cell = derived(removed)
        edges = [(node, e) for node, edges in enumerate(cell.nodes, first) for e in edges]
        found = [(node, e.source) for node, e in edges if e.operation == SKIP]
        return {edge: weights[edge][SKIP] for edge in found}

    return derived(surplus_skips(skips, most))


def _log(weight: float) -> float:
    return math.log(weight) if weight > 0 else -math.inf
