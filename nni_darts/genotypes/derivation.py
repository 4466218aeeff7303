"""Derivation of cells from alphas: the strength of each edge, and the most probable cells.

[P] = arXiv 1806.09055.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nni_darts._common import limits
from nni_darts._common.checks import instance, size, texts
from nni_darts._common.messages import shown
from nni_darts.genotypes.cell import NONE, Cell, Edge, kind_of
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.k_best import best_combinations, best_subsets

__all__ = ["Strengths", "derive", "strength", "top_k"]


class Strengths(NamedTuple):
    """Strength of each edge, and the operation that has it."""

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
    """Cell in which each node keeps its `k` strongest edges, none excluded as operation [P 2.4].

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
        n: number of genotypes, >= 1; fewer are returned where there are no more.
        k: edges per node, as for `derive`.

    Returns:
        (score, genotype): the score, at most 0, is the sum over the chosen edges of
        log softmax(alpha)_o of the chosen operation o, -inf where such an alpha is -inf. The first
        genotype is made of the cells of `derive`.

    Raises:
        ValueError: as `derive`; and for an n below 1, or kinds of cells that make no genotype.
    """
    n = size("n", n, 1, limits.ARCHITECTURES, "n=")
    instance("alphas_by_cell", alphas_by_cell, Mapping, "a mapping of kinds of cells to alphas")  # type: ignore[type-abstract]
    cells = [_top_cells(alphas, primitives, n, k, kind) for kind, alphas in alphas_by_cell.items()]
    return [(score, Genotype(chosen)) for score, chosen in best_combinations(cells, n)]


def _top_cells(
    alphas: npt.ArrayLike, primitives: Sequence[str], n: int, k: int | None, kind: str
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
    primitives = texts("primitives", primitives)
    columns = [i for i, name in enumerate(primitives) if name != NONE]
    if not columns or len(set(primitives)) < len(primitives):
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
