"""The k best choices out of a combinatorial number of them, without enumerating them.

Scores add up: give logarithms to rank products of probabilities. A partial choice is a pair
(cost, path): cost is minus the exact sum of the scores, path says which options were taken. Pairs
compare as Python tuples, so the order is total and deterministic: best sum first, equal sums by the
lexicographically lower path.

Both functions rest on one fact about two lists sorted that way. The join of entry a of one and
entry b of the other (from 0) comes after the (a + 1)(b + 1) - 1 other joins of entries up to a and
b, so it is among the best `limit` only if (a + 1)(b + 1) <= limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from typing import TypeVar

__all__ = ["best_combinations", "best_subsets"]

T = TypeVar("T")
_Path = tuple[tuple[int, int], ...]  # ((index of the item or factor, position of the option), ...)
_Partial = tuple[int, _Path]

# -inf in units of _exact: below any finite sum, for a float is less than 2**2098 units.
_MINUS_INFINITY = -(1 << 4096)


def best_subsets(
    items: Sequence[Sequence[tuple[float, T]]], size: int, limit: int
) -> list[tuple[float, tuple[tuple[int, T], ...]]]:
    """The `limit` best ways to choose exactly `size` distinct items, and one option for each.

    Args:
        items: one sequence of (score, option) per item, in any order; scores are finite or -inf.
        size: number of items to choose, 0 <= size <= len(items).
        limit: highest number of choices to return, >= 1.

    Returns:
        (sum of the scores, ((item index, option), ...)), best first, item indices ascending; fewer
        than `limit` where there are no more. Of equal sums, the one with the lower item index comes
        first, then the one with the earlier option. So the first choice is the greedy one: the
        `size` items with the best option (stable order), each with its best option.

    Raises:
        ValueError: for a size or limit out of range, or a score that is NaN or +inf.
    """
    _check_limit(limit)
    if not 0 <= size <= len(items):
        raise ValueError(
            f"size must be between 0 and the number of items, {len(items)}, got size={size}; "
            "choose fewer items or offer more"
        )
    # best[r]: the best ways to choose r of the items seen so far, from the last one backwards.
    best: list[list[_Partial]] = [[(0, ())], *([] for _ in range(size))]
    for index in range(len(items) - 1, -1, -1):
        options = sorted(_singles(index, items[index]))[:limit]
        for r in range(size, 0, -1):
            taken = _products(options, best[r - 1], limit)
            best[r] = nsmallest(limit, [*best[r], *taken])
    return [
        (_total(items, path), tuple((index, items[index][option][1]) for index, option in path))
        for _, path in best[size]
    ]


def best_combinations(
    factors: Sequence[Sequence[tuple[float, T]]], limit: int
) -> list[tuple[float, tuple[T, ...]]]:
    """The `limit` best ways to choose one option of every factor.

    Args:
        factors: one sequence of (score, option) per factor, each sorted best first; scores are
            finite or -inf.
        limit: highest number of combinations to return, >= 1.

    Returns:
        (sum of the scores, (option of factor 0, option of factor 1, ...)), best first; fewer than
        `limit` where there are no more, none where a factor is empty. Of equal sums, the one with
        the earlier option in the first factor that differs comes first.

    Raises:
        ValueError: for a limit below 1, an unsorted factor, or a score that is NaN or +inf.
    """
    _check_limit(limit)
    best: list[_Partial] = [(0, ())]
    for index, factor in enumerate(factors):
        options = list(_singles(index, factor))
        if options != sorted(options):
            raise ValueError(
                f"factor {index} must be sorted best first; sort it by descending score"
            )
        best = nsmallest(limit, _products(best, options[:limit], limit))
    return [
        (_total(factors, path), tuple(factors[index][option][1] for index, option in path))
        for _, path in best
    ]


def _products(left: list[_Partial], right: list[_Partial], limit: int) -> Iterator[_Partial]:
    """Joins of entries of `left` and `right`, both sorted, the best `limit` joins among them."""
    for a, (left_cost, left_path) in enumerate(left):
        for right_cost, right_path in right[: limit // (a + 1)]:
            yield left_cost + right_cost, left_path + right_path


def _singles(index: int, options: Sequence[tuple[float, T]]) -> Iterator[_Partial]:
    for position, (score, _) in enumerate(options):
        yield -_exact(score, index), ((index, position),)


def _exact(score: float, index: int) -> int:
    """The score in units of 2**-1074, of which every finite float is a multiple: sums are exact.

    Sums of floats depend on their order in the last bit, and so would the order of equal choices.
    """
    if score == -math.inf:
        return _MINUS_INFINITY
    if not math.isfinite(score):
        raise ValueError(f"scores must be finite or -inf, got {score} in entry {index}")
    numerator, denominator = float(score).as_integer_ratio()
    return numerator * ((1 << 1074) // denominator)


def _total(groups: Sequence[Sequence[tuple[float, T]]], path: _Path) -> float:
    return math.fsum(groups[index][option][0] for index, option in path)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got limit={limit}")
