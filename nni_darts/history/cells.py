"""The cells that a search would give after an epoch, and how strong their edges are."""

from __future__ import annotations

from nni_darts.genotypes.cell import Cell
from nni_darts.genotypes.derivation import derived_cell, strengths
from nni_darts.genotypes.genotype import Genotype
from nni_darts.history.record import Edges, EpochRecord

__all__ = ["cell_of", "derived", "operations_of", "skips", "skips_in", "strengths_of"]


def operations_of(edges: Edges) -> list[str]:
    """The names of all operations on any of the edges, in the order in which they come."""
    return list(dict.fromkeys(name for row in edges.values() for name in row))


def cell_of(record: EpochRecord, kind: str) -> Cell:
    """The cell of a kind that the search would have given after this epoch.

    Raises:
        ValueError: as `derived_cell`.
    """
    return derived_cell(kind, record.cells.get(kind, {}), record.edge_weights_of(kind))


def strengths_of(record: EpochRecord, kind: str) -> dict[tuple[int, int], float]:
    """Map (node, source) -> strength of the edge."""
    return strengths(record.cells.get(kind, {}), record.edge_weights_of(kind))


def derived(record: EpochRecord) -> Genotype:
    """The genotype that the search would have given after this epoch.

    Raises:
        ValueError: the weights are not those of a normal and a reduction cell, or of a recurrent
            one; or as `derived_cell`.
    """
    return Genotype(tuple(cell_of(record, kind) for kind in record.cells))


def skips(genotype: Genotype) -> int:
    """Number of skip connections in the normal cell; 0 in a recurrent genotype."""
    return sum(skips_in(cell) for cell in genotype.cells if cell.kind == "normal")


def skips_in(cell: Cell) -> int:
    """Number of edges of a cell that are skip connections."""
    return sum(edge.operation == "skip_connect" for node in cell.nodes for edge in node)
