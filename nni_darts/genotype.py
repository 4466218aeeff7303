"""Genotypes: the discrete cells of a network, how they follow from alphas, and their text formats.

A genotype is data: text is read with `json` and `ast`, never executed. [P] = arXiv 1806.09055.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nni_darts import genotype_text
from nni_darts.cell import (
    KINDS,
    NONE,
    OPERATIONS,
    PRIMITIVES,
    RNN_PRIMITIVES,
    Cell,
    Edge,
    as_index,
    as_list,
    kind_of,
    known_name,
)
from nni_darts.ranking import best_combinations, best_subsets

__all__ = [
    "FORMATS",
    "OPERATIONS",
    "PRIMITIVES",
    "RNN_PRIMITIVES",
    "Cell",
    "Edge",
    "Genotype",
    "Strengths",
    "derive",
    "strength",
    "top_k",
]

FORMATS = ("json", "authors", "ptdarts", "nni")

# Fields of a JSON genotype that say where it comes from.
_ANNOTATIONS = frozenset({"source", "kind"})


_FIELDS = (*KINDS, *(kind.concat for kind in KINDS.values()))
_LABEL = re.compile(rf"({'|'.join(KINDS)})_(\d{{1,4}})(?:_\d+)?", re.ASCII)


@dataclass(frozen=True)
class Genotype:
    """The cells of a network: a normal and a reduction cell (in this order), or a recurrent one.

    ValueError for any other set of cells.
    """

    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        cells = tuple(sorted(self.cells, key=lambda cell: list(KINDS).index(cell.kind)))
        if (kinds := [cell.kind for cell in cells]) not in (["normal", "reduce"], ["recurrent"]):
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
        raise KeyError(f"no {kind!r} cell, only {', '.join(cell.kind for cell in self.cells)}")

    @property
    def normal(self) -> Cell:
        return self["normal"]

    @property
    def reduce(self) -> Cell:
        return self["reduce"]

    @property
    def recurrent(self) -> Cell:
        return self["recurrent"]

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
        fields = genotype_text.read(text)
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
                Cell(kind, tuple(nodes), tuple((concat or {}).get(kind, states)), operations)
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


# From alphas to cells


class Strengths(NamedTuple):
    """How strong each edge is, and by which operation."""

    values: npt.NDArray[np.float64]  # (num_edges,), in [0, 1]
    operations: tuple[str, ...]  # num_edges names, never "none"


def strength(alphas: npt.ArrayLike, primitives: Sequence[str]) -> Strengths:
    """Strength of an edge = max over o != none of softmax(alpha)_o, over ALL operations, none too.

    Args:
        alphas: (num_edges, num_ops), unnormalised.
        primitives: num_ops names in the order of the columns; "none" is found by name, wherever it
            is, if it is.

    Raises:
        ValueError: for alphas of another shape or with NaN or +inf, and for primitives that repeat
            or offer only "none".
    """
    log_p, columns = _log_strengths(alphas, primitives)
    best = log_p.argmax(axis=1)  # the first of equals
    return Strengths(np.exp(log_p.max(axis=1)), tuple(columns[i] for i in best))


def derive(
    alphas: npt.ArrayLike, primitives: Sequence[str], k: int | None = None, kind: str = "normal"
) -> Cell:
    """Each node keeps its `k` strongest edges, each with its strongest operation but none [P 2.4].

    Args:
        alphas: (num_edges, num_ops), unnormalised; edges ordered by target node, then by source:
            the first node has one edge per input of the cell, every further node one more.
        primitives: num_ops names in the order of the columns.
        k: edges per node, 1 <= k <= inputs of the cell; by default the paper's: 2, in a recurrent
            cell 1.
        kind: "normal", "reduce" or "recurrent".

    Returns:
        The cell; a node's edges come strongest first, equal ones by source; concat is all nodes.

    Raises:
        ValueError: see `strength`; and for a num_edges that is no such cell's, or a k out of range.
    """
    return _top_cells(alphas, primitives, 1, k, kind)[0][1]


def top_k(
    alphas_by_cell: Mapping[str, npt.ArrayLike],
    primitives: Sequence[str],
    n: int,
    k: int | None = None,
) -> list[tuple[float, Genotype]]:
    """The `n` most probable genotypes under the alphas, best first, all distinct.

    Args:
        alphas_by_cell: kind of cell -> alphas (num_edges, num_ops) as for `derive`.
        primitives: num_ops names in the order of the columns.
        n: how many genotypes, >= 1; fewer are returned where there are no more.
        k: edges per node, as for `derive`.

    Returns:
        (score, genotype): the score, at most 0, is the sum over the chosen edges of
        log softmax(alpha)_o of the chosen operation o, -inf where such an alpha is -inf. The first
        genotype is made of the cells of `derive`.

    Raises:
        ValueError: as `derive`; and for an n below 1, or kinds of cells that make no genotype.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got n={n}")
    cells = [_top_cells(alphas, primitives, n, k, kind) for kind, alphas in alphas_by_cell.items()]
    return [(score, Genotype(chosen)) for score, chosen in best_combinations(cells, n)]


def _top_cells(
    alphas: npt.ArrayLike, primitives: Sequence[str], n: int, k: int | None, kind: str
) -> list[tuple[float, Cell]]:
    """The n best cells of any k edges into each node and any operation but none on each."""
    first, usual, _ = kind_of(kind)
    k = usual if k is None else k
    if not 1 <= k <= first:
        raise ValueError(
            f"k must be between 1 and {first}, the predecessors of the first node of a {kind} "
            f"cell, got k={k}"
        )
    log_p, columns = _log_strengths(alphas, primitives)
    rows = iter(log_p.tolist())
    concat = tuple(range(first, first + _num_nodes(len(log_p), first, kind)))
    nodes = []
    for state in concat:
        # An option is its own sort key: strongest edge of the node first, equal ones by source.
        incoming = [
            [(score, (-score, i, o)) for score, o in zip(next(rows), columns, strict=True)]
            for i in range(state)
        ]
        nodes.append(
            [
                (score, tuple(Edge(o, i) for _, i, o in sorted(option for _, option in chosen)))
                for score, chosen in best_subsets(incoming, k, n)
            ]
        )
    return [
        (score, Cell(kind, chosen, concat, primitives))
        for score, chosen in best_combinations(nodes, n)
    ]


def _log_strengths(
    alphas: npt.ArrayLike, primitives: Sequence[str]
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """log softmax(alpha) over all operations, then without none: the columns left, their names."""
    columns = [i for i, name in enumerate(primitives) if name != NONE]
    if not columns or len(set(primitives)) < len(primitives):
        raise ValueError(
            f"primitives must be distinct names, one of them other than none, got {primitives!r}"
        )
    a = np.asarray(alphas, dtype=np.float64)
    if a.ndim != 2 or a.shape[1] != len(primitives) or not len(a):
        raise ValueError(
            f"alphas must be of shape (num_edges, {len(primitives)}), one column per primitive, "
            f"got {a.shape}"
        )
    peak = a.max(axis=1, keepdims=True)
    if not np.isfinite(peak).all():  # the peak of a row with NaN is NaN
        row = int(np.argmin(np.isfinite(peak)))
        raise ValueError(
            "alphas must not hold NaN, nor +inf, nor -inf in a whole row, "
            f"got {a[row].tolist()} in row {row}"
        )
    # fsum does not depend on the order of the operations, so neither do ties.
    total = np.array([[math.fsum(row)] for row in np.exp(a - peak)])
    return (a - peak - np.log(total))[:, columns], tuple(primitives[i] for i in columns)


def _num_nodes(num_edges: int, num_inputs: int, kind: str) -> int:
    """n such that num_inputs + (num_inputs + 1) + ... (n terms) = num_edges."""
    counts = [0]
    while counts[-1] < num_edges:
        counts.append(counts[-1] + num_inputs + len(counts) - 1)
    if counts[-1] != num_edges:
        raise ValueError(
            f"alphas have {num_edges} rows, but a {kind} cell of {len(counts) - 2} nodes has "
            f"{counts[-2]} edges, and of {len(counts) - 1} nodes {counts[-1]}"
        )
    return len(counts) - 1


# How the edges of a cell stand in a text


def _flat(cell: Cell) -> list[tuple[str, int]]:
    """All the edges in a row; [] where nodes have other numbers of edges than their kind's."""
    if {len(edges) for edges in cell.nodes} != {KINDS[cell.kind].num_edges}:
        return []
    return [(operation, source) for edges in cell.nodes for operation, source in edges]


def _nodes(kind: str, value: Any) -> Any:
    """Edges by node, of a list that has them by node, or all in a row."""
    edges = as_list(value)
    if not any(isinstance(edge, Sequence) and edge and isinstance(edge[0], str) for edge in edges):
        return edges
    size = KINDS[kind].num_edges
    if len(edges) % size:
        raise ValueError(f"{kind}: expected {size} edges per node, got {len(edges)} edges in all")
    return [edges[i : i + size] for i in range(0, len(edges), size)]
