"""A cell as the graph that the paper draws: named boxes, and links that are labelled or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nni_darts._common.messages import printable
from nni_darts.genotypes.cell import Cell, kind_of

__all__ = ["Box", "Graph", "Link", "candidates", "graph_of", "label_lines", "link_id", "state_name"]

CAPTIONS = {"normal": "normal cell", "reduce": "reduction cell", "recurrent": "recurrent cell"}


@dataclass(frozen=True)
class Box:
    """A box: a state of the cell, its input or its output."""

    name: str  # as the paper writes it: c_{k-2}, 0, h_{t}
    role: str  # input, node or output
    rank: int  # the number of links on the longest way to it


@dataclass(frozen=True)
class Link:
    """An arrow from one box to another.

    One without an operation passes a state on as it is: to the output, or into the first state of a
    recurrent cell.
    """

    source: str
    target: str
    operation: str | None = None
    edge: tuple[int, int] | None = None  # (node, source), the state indices of an edge


@dataclass(frozen=True)
class Graph:
    """Boxes by rank, then in the order of their states; links by target, then by source."""

    kind: str
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]


def state_name(kind: str, state: int) -> str:
    """Name of a state in the paper's figures: inputs by their symbols, nodes counted from 0.

    State 0 of a recurrent cell is the first of its nodes there: what x_{t} and h_{t-1} become.
    """
    if kind_of(kind).num_inputs == 2:
        return ("c_{k-2}", "c_{k-1}")[state] if state < 2 else str(state - 2)
    return str(state)


def graph_of(cell: Cell) -> Graph:
    """The graph of a cell, with one link for each of its edges."""
    edges = [
        (state, edge.source, edge.operation)
        for state, node in enumerate(cell.nodes, cell.num_inputs)
        for edge in node
    ]
    return _graph(cell.kind, edges, cell.num_inputs + len(cell.nodes), cell.concat)


def candidates(kind: str, num_nodes: int) -> Graph:
    """The graph of all edges among which a search chooses; their operations are empty."""
    first = kind_of(kind).num_inputs
    states = range(first, first + num_nodes)
    edges = [(state, source, "") for state in states for source in range(state)]
    return _graph(kind, edges, first + num_nodes, states)


def _graph(
    kind: str, edges: Iterable[tuple[int, int, str]], num_states: int, concat: Iterable[int]
) -> Graph:
    first = kind_of(kind).num_inputs
    edges = sorted(edges)
    names = [state_name(kind, state) for state in range(num_states)]
    boxes, links = [], []
    ranks = dict.fromkeys(range(first), 0)
    if first == 1:
        boxes += [Box("x_{t}", "input", 0), Box("h_{t-1}", "input", 0)]
        links += [Link("x_{t}", names[0]), Link("h_{t-1}", names[0])]
        ranks[0] = 1
    for node, source, _ in edges:
        ranks[node] = max(ranks.get(node, 0), ranks[source] + 1)
    is_input = {state for state in range(first) if first == 2}
    for state, name in enumerate(names):
        boxes.append(Box(name, "input" if state in is_input else "node", ranks[state]))
    links += [
        Link(names[source], names[node], printable(name), (node, source))
        for node, source, name in edges
    ]
    output = "c_{k}" if first == 2 else "h_{t}"
    boxes.append(Box(output, "output", max(ranks.values()) + 1))
    links += [Link(names[state], output) for state in sorted(concat)]
    return Graph(kind, tuple(sorted(boxes, key=lambda box: box.rank)), tuple(links))


def label_lines(operation: str) -> list[str]:
    """A label in one line or, to be legible in a narrow column, in two: `sep_conv` and `3x3`."""
    cuts = [i for i, letter in enumerate(operation) if letter == "_" and i]
    if len(operation) <= 8 or not cuts:
        return [operation]
    # The last of equals: sep_conv, 3x3 reads better than sep, conv_3x3.
    cut = min(reversed(cuts), key=lambda i: max(i, len(operation) - i - 1))
    return [operation[:cut], operation[cut + 1 :]]


def link_id(graph: Graph, link: Link) -> str:
    """Name of a link in SVG: `normal-2-0-sep_conv_3x3` (node, source, operation).

    Links without an operation are named by their two boxes: `normal-1-to-c_{k}`.
    """
    if link.edge is None:
        return f"{graph.kind}-{link.source}-to-{link.target}"
    return f"{graph.kind}-{link.edge[0]}-{link.edge[1]}-{link.operation}"
