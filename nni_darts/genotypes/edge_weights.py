"""Weights of the edges into the nodes of a cell, given as they are or as betas (PC-DARTS)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nni_darts._common.messages import shown

__all__ = ["given", "of_betas"]


def given(values: npt.ArrayLike, count: int) -> list[float]:
    """Weights of `count` edges; ValueError for others than that many numbers in [0, 1]."""
    try:
        weights = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"edge_weights must be numbers in [0, 1], got {shown(values)}") from None
    if weights.shape != (count,) or not ((weights >= 0) & (weights <= 1)).all():
        raise ValueError(
            f"edge_weights must be {count} numbers in [0, 1], one per row of alphas, got "
            f"{shown(values)}"
        )
    found: list[float] = weights.tolist()
    return found


def of_betas(betas: npt.ArrayLike, sizes: Sequence[int]) -> list[float]:
    """Weights softmax(beta) within the edges into each node [arXiv 1907.05737, Eq. 2].

    Args:
        betas: (num_edges,), unnormalised; edges ordered by target node.
        sizes: number of edges into each node.

    Raises:
        ValueError: the betas are not as many finite numbers.
    """
    count = sum(sizes)
    try:
        rows = np.asarray(betas, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"betas must be finite numbers, got {shown(betas)}") from None
    if rows.shape != (count,) or not np.isfinite(rows).all():
        raise ValueError(
            f"betas must be {count} finite numbers, one per row of alphas, got {shown(betas)}"
        )
    found: list[float] = []
    for row in np.split(rows, np.cumsum(sizes)[:-1]):
        parts = np.exp(row - row.max()).tolist()
        # fsum does not depend on the order of the edges, so neither do ties.
        found += [part / math.fsum(parts) for part in parts]
    return found
