"""One discrete cell: edges, nodes, and the names of the operations.

The states of a cell are numbered: its inputs first (0 and 1; only 0 in a recurrent cell), then its
intermediate nodes. A node sums the edges that enter it; an edge is an operation applied to an
earlier state; the cell's output puts together the states in `concat` (paper, section 2.1).
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, NamedTuple

from nni_darts._common.checks import texts
from nni_darts._common.messages import shown, unknown

NONE = "none"
PRIMITIVES = (
    NONE,
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
RNN_PRIMITIVES = (NONE, "tanh", "relu", "sigmoid", "identity")
# What a genotype may name unless told more: also two operations of NASNet's and AmoebaNet's cells.
OPERATIONS = tuple(dict.fromkeys((*PRIMITIVES, "sep_conv_7x7", "conv_7x1_1x7", *RNN_PRIMITIVES)))


class Kind(NamedTuple):
    num_inputs: int
    num_edges: int  # that each node keeps, unless told otherwise: the paper's k
    concat: str  # name of the concat field in texts


KINDS = {
    "normal": Kind(2, 2, "normal_concat"),
    "reduce": Kind(2, 2, "reduce_concat"),
    "recurrent": Kind(1, 1, "concat"),
}

FAMILIES = {
    ("normal", "reduce"): "a genotype of convolutional cells (normal and reduction)",
    ("recurrent",): "a genotype of a recurrent cell",
}
"""The kinds of cells that make up a genotype, and such a genotype in words."""


class Edge(NamedTuple):
    """An operation applied to an earlier state of the cell."""

    operation: str
    source: int  # index of the input state


@dataclass(frozen=True)
class Cell:
    """One cell; lists are taken for tuples and become tuples.

    Args:
        kind: "normal", "reduce" (2 inputs) or "recurrent" (1 input).
        nodes: edges that enter each intermediate node. Two edges of a node may have the same
            source (as in NASNet).
        concat: the states that make up the output, all of them intermediate nodes.
        operations: names to accept besides `OPERATIONS`; not kept.

    Raises:
        ValueError: for anything that is not such a cell.
    """

    kind: str
    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]
    operations: InitVar[Collection[str]] = ()

    def __post_init__(self, operations: Collection[str]) -> None:
        first = kind_of(self.kind).num_inputs
        known = (*OPERATIONS, *texts("operations", operations))
        nodes = tuple(
            tuple(
                as_edge(edge, f"{self.kind} node {state}", state, known)
                for edge in as_list(edges, f"{self.kind} node {state}: ")
            )
            for state, edges in enumerate(as_list(self.nodes, f"{self.kind} nodes: "), start=first)
        )
        if not nodes:
            raise ValueError(f"{self.kind}: expected at least one node, got none")
        if () in nodes:
            raise ValueError(
                f"{self.kind} node {first + nodes.index(())}: expected at least one edge, got none"
            )
        last = first + len(nodes) - 1
        concat = tuple(
            as_index(state, f"{self.kind}: concat", first, last)
            for state in as_list(self.concat, f"{self.kind}: concat: ")
        )
        if not concat or len(set(concat)) < len(concat):
            raise ValueError(
                f"{self.kind}: concat must be distinct nodes, at least one of {first}..{last}, "
                f"got {shown(concat)}"
            )
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "concat", concat)

    @property
    def num_inputs(self) -> int:
        """Number of inputs of the cell, which is the state index of its first node."""
        return KINDS[self.kind].num_inputs


# Checks of single values: each returns the value, or raises a ValueError


def known_name(what: str, name: object, known: Collection[str]) -> str:
    if isinstance(name, str) and name in known:
        return name
    raise ValueError(unknown(what, name, known))


def kind_of(kind: str) -> Kind:
    return KINDS[known_name("kind of cell", kind, KINDS)]


def as_list(value: Any, where: str = "") -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{where}expected a list, got {shown(value)}")
    return list(value)


def as_index(value: Any, what: str, low: int, high: int) -> int:
    try:
        index = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        index = -1
    if not low <= index <= high:
        raise ValueError(f"{what}: expected a state index in {low}..{high}, got {shown(value)}")
    return index


def as_edge(edge: Any, where: str, state: int, known: Collection[str]) -> Edge:
    if isinstance(edge, str) or not isinstance(edge, Sequence) or len(edge) != 2:
        raise ValueError(f"{where}: expected an edge (operation, source), got {shown(edge)}")
    return Edge(
        known_name(f"operation in {where}:", edge[0], known), as_index(edge[1], where, 0, state - 1)
    )
