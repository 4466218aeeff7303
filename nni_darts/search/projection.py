"""Perturbation-based decisions (DARTS-PT, Wang et al., ICLR 2021, arXiv 2108.04392). Pure Python.

An operation matters as much as the network is worse without it, and so does an edge; how large its
alpha is plays no part. All that is asked of the network is a score under restrictions, higher for a
better one: validation accuracy, or the loss with its sign turned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from nni_darts.supernet.restriction import Only, Restriction, Without

__all__ = ["Decision", "Evaluate", "Kind", "Node", "Order", "Projection", "drawn"]

Restrictions: TypeAlias = "dict[str, Restriction]"
Evaluate: TypeAlias = Callable[[Mapping[str, Restriction]], float]
"""Score of the supernet, by the label of each choice that is restricted; higher is better."""


@dataclass(frozen=True)
class Node:
    """The edges into a node, of which it keeps some."""

    edges: tuple[str, ...]
    keeps: int


@dataclass(frozen=True)
class Kind:
    """All that is to be decided in cells of a kind: an operation on each edge, edges of nodes."""

    operations: Mapping[str, Mapping[str, int]]
    """Label of an edge -> name of each operation that it may have -> place of its weight."""
    nodes: Mapping[str, Node]

    @property
    def open_nodes(self) -> list[str]:
        """Nodes that have more edges than they keep."""
        return [label for label, node in self.nodes.items() if len(node.edges) > node.keeps]


@dataclass(frozen=True)
class Order:
    """Order in which the edges of a kind of cell are decided, and then its nodes."""

    edges: tuple[str, ...]
    nodes: tuple[str, ...]


def drawn(kinds: Mapping[str, Kind], chance: Random) -> dict[str, Order]:
    """A random order for each kind of cell."""
    return {
        name: Order(
            tuple(chance.sample(list(kind.operations), len(kind.operations))),
            tuple(chance.sample(kind.open_nodes, len(kind.open_nodes))),
        )
        for name, kind in kinds.items()
    }


@dataclass(frozen=True)
class Decision:
    """Decision on an edge, or at a node."""

    kind: str
    label: str
    """Label of the edge or of the node."""
    kept: tuple[str, ...]
    """The operation of the edge, or the edges of the node."""
    scores: Mapping[str, float]
    """Score of the supernet without each operation, or without each edge."""


class Projection:
    """Decisions, one after the other; a step takes one for each kind of cells.

    On an edge the operation is kept without which the score is lowest, the first one on ties. When
    all edges of the kind have theirs, each node loses the edges without which the score is highest,
    the last one on ties, until it has as many as it keeps. The paper and the published code agree;
    the code measures the edges that are left anew after each loss, with those lost still there, so
    that the scores are the same again: here they are measured once.

    Args:
        kinds: what is to be decided, by the kind of cells; in a step each meets the decisions of
            those before it.
        order: of the decisions, for each kind.
        taken: decisions of earlier steps.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        order: Mapping[str, Order],
        taken: Sequence[Decision] = (),
    ) -> None:
        self.kinds = kinds
        self.order = order
        self.decisions = list(taken)

    @property
    def steps(self) -> int:
        """Number of steps in all."""
        return max(len(order.edges) + len(order.nodes) for order in self.order.values())

    @property
    def steps_taken(self) -> int:
        """Number of steps that are over."""
        return max(self._taken(name) for name in self.kinds)

    def _taken(self, name: str) -> int:
        return sum(decision.kind == name for decision in self.decisions)

    def restrictions(self) -> Restrictions:
        """Restriction of each choice that is decided."""
        found: Restrictions = {}
        for decision in self.decisions:
            kind = self.kinds[decision.kind]
            if decision.label in kind.operations:
                (operation,) = decision.kept
                found[decision.label] = Only((kind.operations[decision.label][operation],))
            else:
                edges = kind.nodes[decision.label].edges
                found |= {edge: Only(()) for edge in edges if edge not in decision.kept}
        return found

    def step(self, evaluate: Evaluate) -> list[Decision]:
        """Take a decision for each kind that has one left, and return them."""
        before = len(self.decisions)
        for name, order in self.order.items():
            taken = self._taken(name)
            if taken < len(order.edges):
                self.decisions.append(self._operation(name, order.edges[taken], evaluate))
            elif taken < len(order.edges) + len(order.nodes):
                node = order.nodes[taken - len(order.edges)]
                self.decisions.append(self._edges(name, node, evaluate))
        return self.decisions[before:]

    def _operation(self, name: str, edge: str, evaluate: Evaluate) -> Decision:
        decided = self.restrictions()
        operations = self.kinds[name].operations[edge]
        scores = {
            operation: evaluate({**decided, edge: Without(place)})
            for operation, place in operations.items()
        }
        return Decision(name, edge, (min(scores, key=scores.__getitem__),), scores)

    def _edges(self, name: str, label: str, evaluate: Evaluate) -> Decision:
        decided = self.restrictions()
        node = self.kinds[name].nodes[label]
        scores = {edge: evaluate({**decided, edge: Only(())}) for edge in node.edges}
        kept = list(node.edges)
        while len(kept) > node.keeps:
            kept.remove(max(reversed(kept), key=scores.__getitem__))
        return Decision(name, label, tuple(kept), scores)
