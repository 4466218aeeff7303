from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from nni_darts.supernet.decisions import Part, Parts, rank

LABELS = {"a": 2, "b": 3, "c": 2, "d": 3, "e": 2}
SEVERAL = {"s": (3, 2), "t": (3, 1)}
"""Label -> how many options, how many of them are chosen."""

# A part as the enumeration sees it: ("one", label, {option: parts}), ("several", label, [parts]).
Sketch = tuple[str, str, Any]


def draw(rng: random.Random, depth: int) -> list[Sketch]:
    """Some parts that bring others with them; labels come again and again."""
    found: list[Sketch] = []
    for _ in range(rng.randint(1, 3 if depth else 1)):
        if depth and rng.random() < 0.3:
            label = rng.choice(list(SEVERAL))
            brings = rng.random() < 0.7
            items = [draw(rng, depth - 1) if brings else [] for _ in range(SEVERAL[label][0])]
            found.append(("several", label, items))
        else:
            label = rng.choice(list(LABELS))
            options = list(range(LABELS[label]))
            if rng.random() < 0.2:
                options = options[1:]  # one that must not be, as none on the edge of a node
            below = {
                i: draw(rng, depth - 1) if depth and rng.random() < 0.6 else [] for i in options
            }
            found.append(("one", label, below))
    return found


def made(parts: Parts, sketches: Sequence[Sketch]) -> list[Part]:
    found = []
    for kind, label, below in sketches:
        if kind == "one":
            options = {i: made(parts, brought) for i, brought in below.items()}
            found.append(parts.one(label, options, restricted=len(below) < LABELS[label]))
        else:
            items = [made(parts, brought) for brought in below]
            found.append(parts.several(label, SEVERAL[label][1], items))
    return found


def active(sketches: Sequence[Sketch], values: Mapping[str, Any]) -> frozenset[Any] | None:
    """The labels and values that matter under a full assignment; None if it is no architecture."""
    found: frozenset[Any] = frozenset()
    for kind, label, below in sketches:
        value = values[label]
        if kind == "one" and value not in below:
            return None
        brought = below[value] if kind == "one" else [p for i in value for p in below[i]]
        further = active(brought, values)
        if further is None:
            return None
        found |= {(label, value)} | further
    return found


def assignments() -> Iterator[dict[str, Any]]:
    one = [[(label, i) for i in range(n)] for label, n in LABELS.items()]
    several = [
        [(label, chosen) for chosen in itertools.combinations(range(n), k)]
        for label, (n, k) in SEVERAL.items()
    ]
    for values in itertools.product(*one, *several):
        yield dict(values)


def scores(rng: random.Random) -> dict[str, list[float]]:
    counts = {**LABELS, "s": SEVERAL["s"][0]}  # t has no scores, as the node of a cell
    return {label: [-rng.random() for _ in range(n)] for label, n in counts.items()}


def score(found: frozenset[Any], table: Mapping[str, Sequence[float]]) -> float:
    total = 0.0
    for label, value in found:
        for i in value if isinstance(value, tuple) else [value]:
            total += table[label][i] if label in table else 0.0
    return total


@pytest.mark.parametrize("seed", range(60))
def test_ranking_equals_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    sketches = draw(rng, 2) + draw(rng, 2)
    table = scores(rng)
    every = {found for values in assignments() if (found := active(sketches, values)) is not None}
    expected = sorted((score(found, table) for found in every), reverse=True)
    parts = Parts()
    space = made(parts, sketches)
    for limit in (1, 4, 10_000):
        ranked = rank(space, table, limit)
        assert [s for s, _ in ranked] == pytest.approx(expected[:limit])
        found = [frozenset(decided.items()) for _, decided in ranked]
        assert len(set(found)) == len(found)
        assert set(found) <= every
        assert [score(f, table) for f in found] == pytest.approx([s for s, _ in ranked])


def chain(parts: Parts, length: int) -> list[Part]:
    """Each part shares a label that matters with the next."""
    link = [
        parts.one(f"x{i}", {0: [parts.one(f"y{i}", {0: [], 1: []})], 1: []})
        for i in range(length + 1)
    ]
    return [parts.one(f"p{i}", {0: [link[i], link[i + 1]], 1: []}) for i in range(length)]


def test_a_chain_of_shared_labels_takes_milliseconds() -> None:
    parts = Parts()
    begun = time.perf_counter()
    ranked = rank(chain(parts, 60), {f"p{i}": [-0.1, -2.3] for i in range(60)}, 10)
    assert len(ranked) == 10
    assert ranked[0][0] == pytest.approx(-6)
    assert time.perf_counter() - begun < 5  # 0.1 s; 2^60 architectures


def test_independent_parts_are_ranked_apart() -> None:
    parts = Parts()
    leaf = {0: (), 1: ()}
    space = [
        parts.one(f"p{i}", {0: [parts.one(f"q{i}", leaf)], 1: [parts.one(f"r{i}", leaf)]})
        for i in range(200)
    ]
    ranked = rank(space, {f"p{i}": [-i - 1.0, -i - 1.5] for i in range(200)}, 3)
    assert [s - ranked[0][0] for s, _ in ranked] == pytest.approx([0, 0, 0])  # q and r score 0


def test_what_would_take_too_long_is_refused() -> None:
    parts = Parts()
    labels = [f"x{i}" for i in range(16)]
    leaf = parts.one("end", {0: (), 1: ()})
    shared = [parts.one(label, {0: [leaf], 1: []}) for label in labels]
    space = [
        parts.one(f"p{i}{j}", {0: [shared[i], shared[j]], 1: []})
        for i, j in itertools.combinations(range(16), 2)
    ]
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=r"too many choices depend on each other, .* labels of"):
        rank(space, {}, 5)
    assert time.perf_counter() - begun < 60
    with pytest.raises(ValueError, match="too many choices depend on each other"):
        rank(chain(parts, 600), {}, 1)


def test_no_part_at_all() -> None:
    assert rank([], {}, 3) == [(0.0, {})]
    assert rank([Parts().one("a", {0: ()})], {"a": [-math.inf]}, 3) == [(-math.inf, {"a": 0})]
