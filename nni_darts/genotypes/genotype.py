"""Genotypes: the discrete cells of a network, and their text formats.

A genotype is data: text is read with `json` and `ast`, never executed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from nni_darts._common.checks import instance, several, texts
from nni_darts._common.messages import shown
from nni_darts.genotypes import parser
from nni_darts.genotypes.cell import (
    FAMILIES,
    KINDS,
    OPERATIONS,
    PRIMITIVES,
    RNN_PRIMITIVES,
    Cell,
    Edge,
    as_index,
    as_list,
    known_name,
)

__all__ = [
    "FORMATS",
    "OPERATIONS",
    "PRIMITIVES",
    "RNN_PRIMITIVES",
    "Cell",
    "Edge",
    "Genotype",
]

FORMATS = ("json", "authors", "ptdarts", "nni")

# Fields of a JSON genotype that say where it comes from.
_ANNOTATIONS = frozenset({"source", "kind"})


_FIELDS = (*KINDS, *(kind.concat for kind in KINDS.values()))
_LABEL = re.compile(rf"({'|'.join(KINDS)})_(\d{{1,4}})(?:_\d+)?", re.ASCII)


def is_of_cells_only(labels: Iterable[str]) -> bool:
    """True if a genotype expresses all of a sample with these labels."""
    return all(_LABEL.fullmatch(label) for label in labels)


@dataclass(frozen=True)
class Genotype:
    """The cells of a network: a normal and a reduction cell (in this order), or a recurrent one.

    ValueError for any other set of cells.
    """

    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        found = several("cells", self.cells, Cell, "cells (nni_darts.genotypes.genotype.Cell)")
        cells = tuple(sorted(found, key=lambda cell: list(KINDS).index(cell.kind)))
        if (kinds := tuple(cell.kind for cell in cells)) not in FAMILIES:
            raise ValueError(
                "a genotype has one normal and one reduce cell, or one recurrent cell, "
                f"got {', '.join(kinds) or 'no cell'}"
            )
        object.__setattr__(self, "cells", cells)

    def __getitem__(self, kind: str) -> Cell:
        """The cell of that kind; KeyError where the genotype has none."""
        for cell in self.cells:
            if cell.kind == kind:
                return cell
        raise KeyError(f"no {shown(kind)} cell, only {', '.join(cell.kind for cell in self.cells)}")

    @property
    def normal(self) -> Cell:
        return self["normal"]

    @property
    def reduce(self) -> Cell:
        return self["reduce"]

    @property
    def recurrent(self) -> Cell:
        return self["recurrent"]

    # The same architecture, however it is written

    def canonical(self) -> Genotype:
        """Equal architecture with each node's edges by (source, operation) and concat ascending.

        A node sums its edges and the output puts nodes together, so neither order changes what the
        network can compute.
        """
        cells = []
        for cell in self.cells:
            nodes = tuple(
                tuple(sorted(edges, key=lambda edge: (edge.source, edge.operation)))
                for edges in cell.nodes
            )
            # Its own names, which need not be among OPERATIONS, have been accepted before.
            names = [edge.operation for edges in nodes for edge in edges]
            cells.append(Cell(cell.kind, nodes, tuple(sorted(cell.concat)), names))
        return Genotype(tuple(cells))

    @property
    def digest(self) -> str:
        """8 hex digits, the same for the same architecture: of the sha256 of its canonical JSON."""
        return hashlib.sha256(self.canonical().to_json().encode()).hexdigest()[:8]

    # Reading

    @classmethod
    def parse(cls, text: str, *, operations: Collection[str] = ()) -> Genotype:
        """Reads any of the formats, which it recognises by itself.

        - JSON: {"normal": [["skip_connect", 0], ...], "normal_concat": [2, ...], "reduce": ...,
          "reduce_concat": ...} or {"recurrent": ..., "concat": ...}; the fields "source" and
          "kind" are left aside.
        - quark0/darts: Genotype(normal=[('skip_connect', 0), ...], normal_concat=range(2, 6), ...),
          `NAME = ` before it or not.
        - pt.darts: the same with one list of edges per node, which JSON may have too. A flat list
          has 2 edges per node, 1 in a recurrent cell.
        - JSON of an NNI sample, see `from_sample`.

        Args:
            text: the genotype, of at most 50,000 characters.
            operations: names to accept besides `OPERATIONS`.

        Raises:
            ValueError: one line that says what is wrong, for any other text.
        """
        operations = texts("operations", operations)
        fields = parser.read(text)
        if not fields.keys() & set(_FIELDS) and any(map(_LABEL.fullmatch, fields)):
            return cls.from_sample(fields, operations=operations)
        for name in fields:
            if name not in _ANNOTATIONS:
                known_name("field", name, _FIELDS)
        cells = []
        for kind in [kind for kind in KINDS if {kind, KINDS[kind].concat} & fields.keys()]:
            concat = KINDS[kind].concat
            for name in (kind, concat):
                if name not in fields:
                    raise ValueError(f"the genotype lacks {name!r}; expected {kind!r}, {concat!r}")
            cells.append(Cell(kind, _nodes(kind, fields[kind]), fields[concat], operations))
        return cls(tuple(cells))

    @classmethod
    def from_sample(
        cls,
        sample: Mapping[str, Any],
        concat: Mapping[str, Iterable[int]] | None = None,
        *,
        operations: Collection[str] = (),
    ) -> Genotype:
        """Reads what NNI chose for the labels of a space of edges and nodes.

        Args:
            sample: "{kind}_{node}" -> the chosen sources of a node, in the order of its edges (a
                single one may stand without a list), and "{kind}_{node}_{source}" -> its operation;
                node and source are state indices. Edges not chosen and other keys are left
                aside.
            concat: kind of cell -> output states; all nodes for a kind left out, for a sample does
                not say.
            operations: names to accept besides `OPERATIONS`.

        Raises:
            ValueError: for a missing key, which it names, and for what is not a genotype.
        """
        operations = texts("operations", operations)
        instance("sample", sample, Mapping, "a mapping of labels to choices")  # type: ignore[type-abstract]
        if concat is not None:
            instance("concat", concat, Mapping, "a mapping of kinds to states")  # type: ignore[type-abstract]
        last: dict[str, int] = {}
        for match in filter(None, (_LABEL.fullmatch(str(key)) for key in sample)):
            last[match[1]] = max(last.get(match[1], 0), int(match[2]))
        cnn = set() if "recurrent" in last else {"normal", "reduce"}
        kinds = [kind for kind in KINDS if kind in cnn.union(last)]
        for kind in concat or {}:
            known_name("kind of cell in concat", kind, kinds)

        def value(key: str) -> Any:
            if key not in sample:
                raise ValueError(f"the sample lacks the key {key!r}")
            return sample[key]

        cells = []
        for kind in kinds:
            first = KINDS[kind].num_inputs
            states = range(first, max(first, last.get(kind, first)) + 1)
            nodes = []
            for state in states:
                label = f"{kind}_{state}"
                chosen = value(label)
                sources = chosen if isinstance(chosen, Sequence) else [chosen]
                indices = [as_index(source, label, 0, state - 1) for source in sources]
                nodes.append(tuple(Edge(value(f"{label}_{i}"), i) for i in indices))
            cells.append(
                Cell(kind, tuple(nodes), cast(Any, (concat or {}).get(kind, states)), operations)
            )
        return cls(tuple(cells))

    # Writing

    def to_text(self, format: str = "json") -> str:
        """The genotype as one line in one of `FORMATS`; "nni" is the JSON of `to_sample()`."""
        known_name("format", format, FORMATS)
        match format:
            case "authors":
                return self.to_authors()
            case "ptdarts":
                return self.to_ptdarts()
            case "nni":
                return json.dumps(self.to_sample())
            case _:
                return self.to_json()

    def to_json(self) -> str:
        """JSON; edges flat, or by node where a node has not its kind's 2 (recurrent: 1) edges."""
        fields: dict[str, Any] = {}
        for cell in self.cells:
            fields[cell.kind] = _flat(cell) or cell.nodes
            fields[KINDS[cell.kind].concat] = cell.concat
        return json.dumps(fields)

    def to_authors(self) -> str:
        """The flat text of quark0/darts.

        ValueError where a node has not its kind's 2 (recurrent: 1) edges.
        """
        for cell in self.cells:
            if not _flat(cell):
                raise ValueError(
                    f"the authors' format has {KINDS[cell.kind].num_edges} edge(s) in every "
                    f"{cell.kind} node, got {', '.join(str(len(edges)) for edges in cell.nodes)}; "
                    "use 'json' or 'ptdarts'"
                )
        return self._to_python([_flat(cell) for cell in self.cells])

    def to_ptdarts(self) -> str:
        """The nested text of pt.darts, one list of edges per node."""
        return self._to_python([[[*map(tuple, edges)] for edges in c.nodes] for c in self.cells])

    def _to_python(self, edges: list[Any]) -> str:
        fields = []
        for cell, value in zip(self.cells, edges, strict=True):
            span = range(cell.concat[0], cell.concat[-1] + 1)
            concat = span if cell.concat == tuple(span) else list(cell.concat)
            fields += [f"{cell.kind}={value!r}", f"{KINDS[cell.kind].concat}={concat!r}"]
        return f"Genotype({', '.join(fields)})"

    def to_sample(self) -> dict[str, str | list[int]]:
        """The NNI sample that chooses this genotype, see `from_sample`; it does not say `concat`.

        Raises:
            ValueError: where two edges of a node apply different operations to one source (as in
                NASNet): a sample has one operation per label.
        """
        sample: dict[str, str | list[int]] = {}
        for cell in self.cells:
            for state, edges in enumerate(cell.nodes, start=cell.num_inputs):
                label = f"{cell.kind}_{state}"
                sample[label] = [edge.source for edge in edges]
                for operation, source in edges:
                    if sample.setdefault(f"{label}_{source}", operation) != operation:
                        raise ValueError(
                            f"an NNI sample has one operation per edge, but {label} applies both "
                            f"{sample[f'{label}_{source}']} and {operation} to state {source}"
                        )
        return sample


# How the edges of a cell stand in a text


def _flat(cell: Cell) -> list[tuple[str, int]]:
    """Edges of all nodes in one row; [] where nodes have not their kind's number of edges."""
    if {len(edges) for edges in cell.nodes} != {KINDS[cell.kind].num_edges}:
        return []
    return [(operation, source) for edges in cell.nodes for operation, source in edges]


def _nodes(kind: str, value: Any) -> Any:
    """Edges by node, of a list that has them by node or in one row."""
    edges = as_list(value)
    if not any(isinstance(edge, Sequence) and edge and isinstance(edge[0], str) for edge in edges):
        return edges
    size = KINDS[kind].num_edges
    if len(edges) % size:
        raise ValueError(f"{kind}: expected {size} edges per node, got {len(edges)} edges in all")
    return [edges[i : i + size] for i in range(0, len(edges), size)]
