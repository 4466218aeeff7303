"""The k best ways to decide the labels of a model space, whatever depends on what.

A space is a list of parts. A part asks for a label, once for all parts that ask for it; what was
decided brings further parts into the architecture, or does not. The score of an architecture is the
sum of the scores of the labels that its parts ask for, each counted once.

Parts that have no label in common are ranked apart and their rankings are combined. Where parts
share labels, one of these is decided in every way there is, and what is left falls apart or is
decided on: exact, and as fast as the labels are independent. What was ranked once under the same
decisions is remembered.
"""

from __future__ import annotations

import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from nni_darts.genotypes.k_best import best_combinations, best_subsets

__all__ = ["Part", "Parts", "Scores", "rank"]

Value: TypeAlias = "int | tuple[int, ...]"
Decided: TypeAlias = "dict[str, Value]"
"""Label -> position of the option; positions, ascending, where several are chosen."""
Scores: TypeAlias = Mapping[str, Sequence[float]]
"""Label -> score of each option, finite or -inf; labels that are missing score 0."""
Rating: TypeAlias = "list[tuple[float, Decided]]"
"""Decisions with their scores, best first."""
_Option: TypeAlias = "tuple[float, Value]"

_MOST_WORK = 200_000  # parts ranked under the cases of what they share: some seconds
_REFUSED = "to rank the architectures exactly; give choices that need not agree labels of their own"


class Part(ABC):
    """A part of a space, which asks for a label. Made by `Parts`; two that are alike are one."""

    label: str
    labels: frozenset[str]
    """The label and all those that parts below ask for."""
    steering: frozenset[str]
    """Labels on which more depends than the score."""

    @abstractmethod
    def options(self, scores: Scores, limit: int) -> list[_Option]:
        """The best options of the label, best first."""

    @abstractmethod
    def every_option(self, scores: Scores) -> Iterable[_Option]:
        """All options of the label, in order."""

    @abstractmethod
    def below(self, value: Value) -> Sequence[Part] | None:
        """Parts that the value brings into the architecture; None for a forbidden value."""

    def by_itself(self, scores: Scores, limit: int) -> Rating | None:
        """The best decisions for the part alone, if it knows a short way to them."""
        return None


class _One(Part):
    """Part that asks for one of the options of a label."""

    def __init__(self, label: str, options: Mapping[int, tuple[Part, ...]], restricted: bool):
        self.label = label
        self._below = options
        below = list(dict.fromkeys(part for parts in options.values() for part in parts))
        self.labels = _union({label}, *(part.labels for part in below))
        own = {label} if below or restricted else set()
        self.steering = _union(own, *(part.steering for part in below))

    def options(self, scores: Scores, limit: int) -> list[_Option]:
        return sorted(self.every_option(scores), key=_best_first)[:limit]

    def every_option(self, scores: Scores) -> Iterable[_Option]:
        return [(_score(scores, self.label, i), i) for i in self._below]

    def below(self, value: Value) -> Sequence[Part] | None:
        assert isinstance(value, int)
        return self._below.get(value)

    def by_itself(self, scores: Scores, limit: int) -> Rating | None:
        if len(self.labels) > 1:
            return None
        return [(score, {self.label: value}) for score, value in self.options(scores, limit)]


class _Several(Part):
    """Part that asks for `size` of the options of a label, each of which may bring parts along."""

    def __init__(self, label: str, size: int, items: Sequence[tuple[Part, ...]]):
        self.label = label
        self.size = size
        self._items = items
        below = list(dict.fromkeys(part for parts in items for part in parts))
        self.labels = _union({label}, *(part.labels for part in below))
        self.steering = _union({label} if below else (), *(part.steering for part in below))

    def options(self, scores: Scores, limit: int) -> list[_Option]:
        items = [[(p, i)] for i, p in enumerate(self._scores(scores))]
        return [
            (score, tuple(i for i, _ in chosen))
            for score, chosen in best_subsets(items, self.size, limit)
        ]

    def every_option(self, scores: Scores) -> Iterable[_Option]:
        score = self._scores(scores)
        for chosen in itertools.combinations(range(len(score)), self.size):
            yield math.fsum(score[i] for i in chosen), chosen

    def _scores(self, scores: Scores) -> list[float]:
        return [_score(scores, self.label, i) for i in range(len(self._items))]

    def below(self, value: Value) -> Sequence[Part]:
        assert isinstance(value, tuple)
        return [part for i in value for part in self._items[i]]

    def by_itself(self, scores: Scores, limit: int) -> Rating | None:
        parts = [part for parts in self._items for part in parts]
        leaves = all(part.labels == {part.label} for part in parts)
        if not leaves or len(parts) != len(self._items) or len(self.labels) <= len(parts):
            return None  # labels below are shared, or do not stand alone
        items = [
            [(own + score, value) for score, value in part.every_option(scores)]
            for own, part in zip(self._scores(scores), parts, strict=True)
        ]
        return [
            (
                score,
                {
                    self.label: tuple(i for i, _ in chosen),
                    **{parts[i].label: value for i, value in chosen},
                },
            )
            for score, chosen in best_subsets(items, self.size, limit)
        ]


class Parts:
    """Factory of parts, each made only once: copies of a cell, say, share theirs."""

    def __init__(self) -> None:
        self._known: dict[Any, Part] = {}

    def one(
        self, label: str, options: Mapping[int, Iterable[Part]], restricted: bool = False
    ) -> Part:
        """Ask for one option.

        Args:
            label: label to decide.
            options: position of each option that may be -> the parts that it brings.
            restricted: whether others that ask for the label may have further options.
        """
        below = {i: tuple(dict.fromkeys(parts)) for i, parts in options.items()}
        key = (label, tuple(below.items()), restricted)
        return self._make(key, lambda: _One(label, below, restricted))

    def several(self, label: str, size: int, items: Iterable[Iterable[Part]]) -> Part:
        """Ask for exactly `size` of the options, whose parts are listed."""
        below = tuple(tuple(parts) for parts in items)
        return self._make((label, size, below), lambda: _Several(label, size, below))

    def _make(self, key: Any, make: Callable[[], Part]) -> Part:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


def rank(parts: Iterable[Part], scores: Scores, limit: int) -> Rating:
    """The `limit` best decisions, best first, all distinct; fewer where there are no more.

    Raises:
        ValueError: so many labels depend on each other that it would take too long.
    """
    try:
        return _Ranking(scores, limit).rank(parts, {})
    except RecursionError:
        raise ValueError(f"too many choices depend on each other {_REFUSED}") from None


class _Ranking:
    def __init__(self, scores: Scores, limit: int) -> None:
        self.scores = scores
        self.limit = limit
        self._known: dict[Any, Rating] = {}
        self._work = 0

    def rank(self, parts: Iterable[Part], decided: Decided) -> Rating:
        asking = _settle(parts, decided)
        if asking is None:
            return []
        steering = _union(*(part.steering for part in asking)) - decided.keys()
        # Nothing depends on these but the score: each for itself, first of all.
        free = {
            part.label: part.options(self.scores, self.limit)
            for part in asking
            if part.label not in steering
        }
        # Which of their values is taken matters to no other part.
        decided = {**decided, **{label: options[0][1] for label, options in free.items()}}
        factors: list[Rating] = [
            [(score, {label: value}) for score, value in options] for label, options in free.items()
        ]
        rest = [part for part in asking if part.label not in free]
        factors += [self._component(c, decided) for c in _components(rest, decided.keys())]
        return [(s, _merge(found)) for s, found in best_combinations(factors, self.limit)]

    def _component(self, parts: list[Part], decided: Decided) -> Rating:
        """The ranking of parts that hang together by labels that are still to be decided."""
        labels = _union(*(part.labels for part in parts))
        below = {label: value for label, value in decided.items() if label in labels}
        key = (frozenset(parts), frozenset(below.items()))
        if key not in self._known:
            rating = None
            if len(parts) == 1 and not below:
                rating = parts[0].by_itself(self.scores, self.limit)
            self._known[key] = self._in_every_way(parts, below) if rating is None else rating
        return self._known[key]

    def _in_every_way(self, parts: list[Part], decided: Decided) -> Rating:
        """Decide the label that most of the parts have in common."""
        times = Counter(label for part in parts for label in part.labels)
        first = max(parts, key=lambda part: times[part.label])
        rating: Rating = []
        for score, value in first.every_option(self.scores):
            self._work += len(parts)
            if self._work > _MOST_WORK:
                shared = ", ".join(label for label, _ in times.most_common(3))
                raise ValueError(
                    f"too many choices depend on each other, {shared} among them, {_REFUSED}"
                )
            for further, found in self.rank(parts, {**decided, first.label: value}):
                rating.append((score + further, {first.label: value, **found}))
        return sorted(rating, key=_best_first)[: self.limit]


def _settle(parts: Iterable[Part], decided: Decided) -> list[Part] | None:
    """The parts that ask for labels not yet decided, each once; None if that cannot be."""
    asking: dict[Part, None] = {}
    pending = list(parts)[::-1]
    while pending:
        part = pending.pop()
        if part.label not in decided:
            asking[part] = None
            continue
        below = part.below(decided[part.label])
        if below is None:
            return None
        pending += below[::-1]
    return list(asking)


def _components(parts: Sequence[Part], decided: Iterable[str]) -> list[list[Part]]:
    """The parts, grouped by labels that they have in common; the labels decided do not count."""
    known = frozenset(decided)
    groups: list[tuple[frozenset[str], list[Part]]] = []
    for part in parts:
        labels, group, others = part.labels - known, [part], []
        for other_labels, other in groups:
            if labels & other_labels:
                labels, group = labels | other_labels, [*other, *group]
            else:
                others.append((other_labels, other))
        groups = [*others, (labels, group)]
    return [group for _, group in groups]


def _score(scores: Scores, label: str, option: int) -> float:
    return scores[label][option] if label in scores else 0.0


def _best_first(rated: tuple[float, Any]) -> float:
    return -rated[0]


def _merge(parts: Iterable[Decided]) -> Decided:
    return functools.reduce(lambda a, b: a | b, parts, {})


def _union(*sets: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*sets)
