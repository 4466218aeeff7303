"""nni_darts/genotypes/random_cells.py: uniform, distinct, and the same for the same seed."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import pytest

from nni_darts.genotypes import random_cells
from nni_darts.genotypes.genotype import PRIMITIVES, Genotype
from nni_darts.genotypes.random_cells import draw

CHOICES = PRIMITIVES[1:]


def assert_uniform(drawn: Iterable[Hashable], values: Iterable[Hashable]) -> None:
    """Pearson's chi-square is at most its mean + 4 standard deviations, and all values come."""
    counts, values = Counter(drawn), list(values)
    assert counts.keys() == set(values)
    expected = counts.total() / len(values)
    chi_square = sum((counts[value] - expected) ** 2 / expected for value in values)
    freedom = len(values) - 1
    assert chi_square <= freedom + 4 * math.sqrt(2 * freedom)


def test_cells_of_the_space() -> None:
    for genotype in draw(50, 0):
        assert genotype == genotype.canonical()
        for cell in genotype.cells:
            assert cell.concat == (2, 3, 4, 5)
            for state, edges in enumerate(cell.nodes, start=2):
                first, second = edges
                assert 0 <= first.source < second.source < state
                assert {first.operation, second.operation} <= set(CHOICES)
    (small,) = draw(1, 0, num_nodes=2, primitives=["blur", "none"])
    assert [len(cell.nodes) for cell in small.cells] == [2, 2]
    assert {e.operation for c in small.cells for node in c.nodes for e in node} == {"blur"}


def test_predecessors_and_operations_are_uniform() -> None:
    drawn = draw(3000, 1)
    for kind in ("normal", "reduce"):
        for i, state in enumerate(range(2, 6)):
            nodes = [genotype[kind].nodes[i] for genotype in drawn]
            pairs = list(itertools.combinations(range(state), 2))
            assert_uniform([tuple(edge.source for edge in node) for node in nodes], pairs)
            operations = [tuple(edge.operation for edge in node) for node in nodes]
            assert_uniform(operations, itertools.product(CHOICES, CHOICES))


def test_the_cells_are_independent() -> None:
    def last(genotype: Genotype, kind: str) -> tuple[int, ...]:
        return tuple(edge.source for edge in genotype[kind].nodes[-1])

    pairs = list(itertools.combinations(range(5), 2))
    drawn = [(last(g, "normal"), last(g, "reduce")) for g in draw(3000, 2)]
    assert_uniform(drawn, itertools.product(pairs, pairs))


def test_a_shorter_draw_is_the_start_of_a_longer_one() -> None:
    long = draw(30, 7)
    assert all(draw(n, 7) == long[:n] for n in (1, 2, 29))
    assert draw(30, 8) != long
    # Where most draws repeat an earlier one, too.
    small = {"num_nodes": 1, "primitives": ("none", "skip_connect", "max_pool_3x3")}
    assert draw(9, 0, **small) == draw(16, 0, **small)[:9]


def test_another_process_draws_the_same() -> None:
    code = (
        "from nni_darts.genotypes.random_cells import draw; print(*(g.digest for g in draw(5, 3)))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == [genotype.digest for genotype in draw(5, 3)]


def test_all_are_distinct_up_to_the_whole_space() -> None:
    names = ("none", "skip_connect", "max_pool_3x3")
    whole = draw(16, 5, num_nodes=1, primitives=names)
    assert len(set(whole)) == len({genotype.digest for genotype in whole}) == 16
    assert len({g.digest for g in draw(2401, 5, num_nodes=1)}) == 2401


def test_two_genotypes_of_one_digest(
    monkeypatch: pytest.MonkeyPatch, message: Callable[..., str]
) -> None:
    monkeypatch.setattr(Genotype, "digest", property(lambda self: str(self.normal)))
    drawn = draw(4, 0, num_nodes=1, primitives=("skip_connect", "max_pool_3x3"))
    assert len({genotype.normal for genotype in drawn}) == 4
    error = message(ValueError, draw, 5, 0, 1, ("skip_connect", "max_pool_3x3"))
    assert "count must be at most 4" in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"count": 0}, "count must be at least 1, got count=0"),
        ({"seed": -1}, "seed must be at least 0, got seed=-1"),
        ({"num_nodes": 0}, "num_nodes must be at least 1, got num_nodes=0"),
        ({"primitives": ["none"]}, "one of them other than none, got ['none']"),
        ({"primitives": []}, "one of them other than none, got []"),
        ({"primitives": ["a", "b", "a"]}, "distinct names"),
        ({"count": 17, "num_nodes": 1, "primitives": "ab"}, "count must be at most 16, all "),
        ({"count": 325, "num_nodes": 3, "primitives": "a"}, "at most 324, "),
    ],
)
def test_bad_arguments(
    arguments: dict[str, Any], expected: str, message: Callable[..., str]
) -> None:
    assert expected in message(ValueError, draw, **{"count": 1, "seed": 0, **arguments})


def test_the_size_of_the_papers_space() -> None:
    # Paper, A.2: prod_{k=1}^{4} (k + 1) k / 2 * 7^2 per cell, about 10^9; two cells, about 10^18.
    cell = math.prod((k + 1) * k // 2 * 7**2 for k in range(1, 5))
    assert random_cells._size_of_space(4, 7) == cell**2
    assert 1e9 < cell < 2e9
