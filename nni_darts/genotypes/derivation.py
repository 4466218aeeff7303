"""Derivation of cells from the weights of a search: the strength of edges, the most probable cells.

The strength of an operation on an edge is its mixing weight, softmax(alpha) over all operations,
none too; where a method weighs the edges into a node as well, it is that weight times the mixing
weight. A node keeps its strongest edges, each with its strongest operation but none [P 2.4]. All
that derives cells does it by `options` and `best_edges`: the strategy, the public functions, the
alpha page and the pictures.

[P] = arXiv 1806.09055.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nni_darts._common import limits
from nni_darts._common.checks import instance, size, texts
from nni_darts._common.messages import shown
from nni_darts.genotypes import edge_weights as weights_of_edges
from nni_darts.genotypes.cell import NONE, Cell, Edge, kind_of
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.k_best import best_combinations, best_subsets

__all__ = [
    "Options",
    "Strengths",
    "best_edges",
    "derive",
    "derived_cell",
    "options",
    "strength",
    "strengths",
    "strongest_first",
    "top_k",
]

Options: TypeAlias = "list[tuple[float, str]]"
"""Pairs (log of the strength, name): one for each operation of an edge other than none."""
_Weights: TypeAlias = Mapping[tuple[int, int], Mapping[str, float]]
_EdgeWeights: TypeAlias = Mapping[tuple[int, int], float]
_ROUNDING = 0.05  # of a sum of weights that were rounded, or computed in half precision


class Strengths(NamedTuple):
    """Strength of each edge, and the operation that has it."""

    values: npt.NDArray[np.float64]  # (num_edges,), in [0, 1]
    operations: tuple[str, ...]  # num_edges names, never "none"


# One node


def options(log_p: Iterable[float], names: Iterable[str], edge_weight: float = 1.0) -> Options:
    """Operations that an edge may have, other than none, each with the log of its strength.

    Args:
        log_p: log of the mixing weight of each operation.
        names: of the operations, in the same order.
        edge_weight: in [0, 1], of the edge among those into its node.
    """
    shift = _log(edge_weight)
    return [(p + shift, name) for p, name in zip(log_p, names, strict=True) if name != NONE]


def best_edges(
    incoming: Sequence[Options], k: int, limit: int
) -> list[tuple[float, tuple[Edge, ...]]]:
    """The `limit` best ways to choose k edges into a node, and an operation on each of them.

    Args:
        incoming: for the edge from each state, in order, what it may be; nothing for one that must
            not be chosen.
        k: how many edges are chosen.
        limit: how many ways to return at most.

    Returns:
        (sum of the log strengths, edges as of `strongest_first`), best first.
    """
    scored = [[(s, (s, Edge(name, i))) for s, name in edge] for i, edge in enumerate(incoming)]
    return [
        (score, strongest_first(edge for _, edge in chosen))
        for score, chosen in best_subsets(scored, k, limit)
    ]


def strongest_first(edges: Iterable[tuple[float, Edge]]) -> tuple[Edge, ...]:
    """The edges of a node by their strength; equal ones by source."""
    ordered = sorted(edges, key=lambda scored: (-scored[0], scored[1].source))
    return tuple(edge for _, edge in ordered)


def _log(weight: float) -> float:
    return math.log(weight) if weight > 0 else -math.inf


# Mixing weights by their names, of which some may be missing


def strengths(
    weights: _Weights, edge_weights: _EdgeWeights | None = None
) -> dict[tuple[int, int], float]:
    """Map (node, source) -> strength of the edge, by its strongest operation other than none."""
    found = {}
    for edge, row in weights.items():
        best = max((weight for name, weight in row.items() if name != NONE), default=0.0)
        found[edge] = best * (edge_weights or {}).get(edge, 1.0)
    return found


def derived_cell(kind: str, weights: _Weights, edge_weights: _EdgeWeights | None = None) -> Cell:
    """The cell that `derive` makes of the alphas of which these are the mixing weights.

    Weights of an edge that do not add up to 1, as those of a sigmoid, count as they are. An edge
    without weights is never chosen, so a node may keep fewer edges than its kind's 2 (recurrent:
    1).

    Args:
        kind: "normal", "reduce" or "recurrent".
        weights: (node, source) -> operation -> mixing weight in [0, 1].
        edge_weights: (node, source) -> weight of the edge in [0, 1]; 1 where it is missing.

    Raises:
        ValueError: a node has no edge with weights, or the kind is not known.
    """
    first, k, _ = kind_of(kind)
    names = list(dict.fromkeys(name for row in weights.values() for name in row))
    if not any(name != NONE for name in names):
        raise ValueError(f"the {kind} cell has no weights of operations other than none")
    rows = {}
    for edge, row in weights.items():
        logs = [_log(row.get(name, 0.0)) for name in names]
        # Rounded to nothing: no operation of the edge is more likely than another.
        logs = logs if max(logs) > -math.inf else [0.0] * len(logs)
        log_p = logs
        if abs(sum(row.values()) - 1) <= _ROUNDING or not any(row.values()):
            (log_p,) = _log_softmax(np.array([logs])).tolist()
        rows[edge] = options(log_p, names, (edge_weights or {}).get(edge, 1.0))
    concat = tuple(range(first, max(node for node, _ in weights) + 1))
    nodes = []
    for node in concat:
        incoming = [rows.get((node, source), []) for source in range(node)]
        most = sum(map(bool, incoming))
        if not most:
            raise ValueError(
                f"the {kind} cell cannot be derived: no weights of the edges into node {node}"
            )
        ((_, edges),) = best_edges(incoming, min(k, most), 1)
        nodes.append(edges)
    return Cell(kind, tuple(nodes), concat, list(dict.fromkeys([*names, NONE])))


# Alphas as a table


def strength(
    alphas: npt.ArrayLike, primitives: Sequence[str], edge_weights: npt.ArrayLike | None = None
) -> Strengths:
    """Strength of an edge = max over o != none of softmax(alpha)_o, over ALL operations, none too.

    Args:
        alphas: (num_edges, num_ops), unnormalised.
        primitives: num_ops names in the order of the columns; "none" is found by name, wherever it
            is, if it is.
        edge_weights: (num_edges,), in [0, 1], by which the strengths are multiplied, where a method
            weighs the edges into a node.

    Raises:
        ValueError: for alphas of another shape or with NaN or +inf, for primitives that repeat or
            offer only "none", and for edge_weights of another shape or out of their range.
    """
    table = _tabled(alphas, primitives, edge_weights)
    best = [max(edge, key=lambda option: option[0]) for edge in table]  # the first of equals
    return Strengths(np.exp([score for score, _ in best]), tuple(name for _, name in best))


def derive(
    alphas: npt.ArrayLike,
    primitives: Sequence[str],
    k: int | None = None,
    kind: str = "normal",
    edge_weights: npt.ArrayLike | None = None,
    betas: npt.ArrayLike | None = None,
) -> Cell:
    """Cell in which each node keeps its `k` strongest edges, none excluded as operation [P 2.4].

    Args:
        alphas: (num_edges, num_ops), unnormalised; edges ordered by target node, then by source:
            the first node has one edge per input of the cell, every further node one more.
        primitives: num_ops names in the order of the columns.
        k: edges per node, 1 <= k <= inputs of the cell; by default the paper's: 2, in a recurrent
            cell 1.
        kind: "normal", "reduce" or "recurrent".
        edge_weights: see `strength`.
        betas: (num_edges,), unnormalised, in place of edge_weights: these are then the softmax of
            the betas within the edges into each node, as in PC-DARTS.

    Returns:
        The cell; a node's edges come strongest first, equal ones by source; concat is all nodes.

    Raises:
        ValueError: see `strength`; and for a num_edges that is no such cell's, or a k out of range.
    """
    table = _tabled(alphas, primitives, edge_weights, betas, kind)
    return _top_cells(table, primitives, 1, k, kind)[0][1]


def top_k(
    alphas_by_cell: Mapping[str, npt.ArrayLike],
    primitives: Sequence[str],
    n: int,
    k: int | None = None,
    edge_weights_by_cell: Mapping[str, npt.ArrayLike] | None = None,
    betas_by_cell: Mapping[str, npt.ArrayLike] | None = None,
) -> list[tuple[float, Genotype]]:
    """The `n` most probable genotypes under the alphas, best first, all distinct.

    Args:
        alphas_by_cell: kind of cell -> alphas (num_edges, num_ops) as for `derive`.
        primitives: num_ops names in the order of the columns.
        n: number of genotypes, >= 1; fewer are returned where there are no more.
        k: edges per node, as for `derive`.
        edge_weights_by_cell: kind of cell -> edge weights as for `derive`.
        betas_by_cell: kind of cell -> betas as for `derive`.

    Returns:
        (score, genotype): the score, at most 0, is the sum over the chosen edges of
        log softmax(alpha)_o of the chosen operation o (and of the log of the edge's weight), -inf
        where such an alpha is -inf. The first genotype is made of the cells of `derive`.

    Raises:
        ValueError: as `derive`; and for an n below 1, or kinds of cells that make no genotype.
    """
    n = size("n", n, 1, limits.ARCHITECTURES, "n=")
    instance("alphas_by_cell", alphas_by_cell, Mapping, "a mapping of kinds of cells to alphas")  # type: ignore[type-abstract]
    weights = _by_cell("edge_weights_by_cell", edge_weights_by_cell, "edge weights")
    betas = _by_cell("betas_by_cell", betas_by_cell, "betas")
    tables = {
        kind: _tabled(rows, primitives, weights.get(kind), betas.get(kind), kind)
        for kind, rows in alphas_by_cell.items()
    }
    cells = [_top_cells(table, primitives, n, k, kind) for kind, table in tables.items()]
    return [(score, Genotype(chosen)) for score, chosen in best_combinations(cells, n)]


def _by_cell(
    name: str, given: Mapping[str, npt.ArrayLike] | None, what: str
) -> Mapping[str, npt.ArrayLike]:
    if given is None:
        return {}
    return instance(name, given, Mapping, f"a mapping of kinds of cells to {what}")  # type: ignore[type-abstract]


def _top_cells(
    table: list[Options], primitives: Sequence[str], n: int, k: int | None, kind: str
) -> list[tuple[float, Cell]]:
    """The n best cells of any k edges into each node and any operation but none on each."""
    first, usual, _ = kind_of(kind)
    k = usual if k is None else k
    try:
        k = size("k", k, 1, first)
    except ValueError:
        raise ValueError(
            f"k must be between 1 and {first}, the predecessors of the first node of a {kind} "
            f"cell, got k={shown(k)}"
        ) from None
    rows = iter(table)
    concat = tuple(range(first, first + _num_nodes(len(table), first, kind)))
    nodes = [best_edges([next(rows) for _ in range(state)], k, n) for state in concat]
    return [
        (score, Cell(kind, chosen, concat, primitives))
        for score, chosen in best_combinations(nodes, n)
    ]


def _tabled(
    alphas: npt.ArrayLike,
    primitives: Sequence[str],
    edge_weights: npt.ArrayLike | None,
    betas: npt.ArrayLike | None = None,
    kind: str = "",
) -> list[Options]:
    """Options of each edge, from the rows of alphas."""
    primitives = texts("primitives", primitives)
    if not any(name != NONE for name in primitives) or len(set(primitives)) < len(primitives):
        raise ValueError(
            f"primitives must be distinct names, one of them other than none, got {primitives!r}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of numbers that lose their imaginary part
            a = np.asarray(alphas, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError, Warning):
        raise ValueError(
            f"alphas must be a table of numbers, (num_edges, {len(primitives)}), got "
            f"{shown(alphas)}"
        ) from None
    if a.ndim != 2 or a.shape[1] != len(primitives) or not len(a):
        raise ValueError(
            f"alphas must be of shape (num_edges, {len(primitives)}), one column per primitive, "
            f"got {a.shape}"
        )
    peak = a.max(axis=1)
    if not np.isfinite(peak).all():  # the peak of a row with NaN is NaN
        row = int(np.argmin(np.isfinite(peak)))
        raise ValueError(
            "alphas must not hold NaN, nor +inf, nor -inf in a whole row, "
            f"got {a[row].tolist()} in row {row}"
        )
    weights = [1.0] * len(a)
    if edge_weights is not None:
        weights = weights_of_edges.given(edge_weights, len(a))
    if betas is not None:
        if edge_weights is not None:
            raise ValueError("betas stand for edge_weights, which are their softmax; give one")
        first, _, _ = kind_of(kind)
        sizes = range(first, first + _num_nodes(len(a), first, kind))
        weights = weights_of_edges.of_betas(betas, sizes)
    rows = zip(_log_softmax(a).tolist(), weights, strict=True)
    return [options(log_p, primitives, weight) for log_p, weight in rows]


def _log_softmax(a: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log softmax of each row."""
    peak = a.max(axis=1, keepdims=True)
    # fsum does not depend on the order of the operations, so neither do ties.
    total = np.array([[math.fsum(row)] for row in np.exp(a - peak)])
    shifted: npt.NDArray[np.float64] = a - peak - np.log(total)
    return shifted


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
