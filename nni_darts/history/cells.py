"""The cells that a search would give after an epoch, and how strong their edges are."""

from __future__ import annotations

import math

from nni_darts.genotypes.cell import KINDS, NONE, Cell
from nni_darts.genotypes.derivation import derive
from nni_darts.genotypes.genotype import Genotype
from nni_darts.history.record import Edges, EpochRecord

__all__ = ["derived", "derived_cell", "operations_of", "skips", "skips_in", "strengths"]


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


def derived(record: EpochRecord) -> Genotype:
    """The genotype that the search would have given after this epoch.

    Raises:
        ValueError: the weights are not those of a normal and a reduction cell, or of a recurrent
            one; or as `derived_cell`.
    """
    return Genotype(tuple(derived_cell(kind, edges) for kind, edges in record.cells.items()))


def skips(genotype: Genotype) -> int:
    """How many edges of the normal cell are skip connections; 0 in a recurrent genotype."""
    return sum(skips_in(cell) for cell in genotype.cells if cell.kind == "normal")


def skips_in(cell: Cell) -> int:
    """How many edges of a cell are skip connections."""
    return sum(edge.operation == "skip_connect" for node in cell.nodes for edge in node)
