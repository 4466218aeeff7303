import itertools
import math
import random
import time
from fractions import Fraction

import pytest

from nni_darts.genotypes.k_best import best_combinations, best_subsets


def _key(scores):
    """Exact order of sums: fewer -inf first, then the larger sum of the rest."""
    return sum(s == -math.inf for s in scores), -sum(Fraction(s) for s in scores if s != -math.inf)


def _all_subsets(items, size):
    """Every choice, best first; ties by item index, then by position of the option."""
    found = []
    for indices in itertools.combinations(range(len(items)), size):
        for positions in itertools.product(*(range(len(items[i])) for i in indices)):
            path = tuple(zip(indices, positions, strict=True))
            scores = [items[i][o][0] for i, o in path]
            choice = tuple((i, items[i][o][1]) for i, o in path)
            found.append((_key(scores), path, math.fsum(scores), choice))
    return [(score, choice) for _, _, score, choice in sorted(found)]


def _all_combinations(factors):
    found = []
    for path in itertools.product(*(range(len(f)) for f in factors)):
        scores = [f[o][0] for f, o in zip(factors, path, strict=True)]
        choice = tuple(f[o][1] for f, o in zip(factors, path, strict=True))
        found.append((_key(scores), path, math.fsum(scores), choice))
    return [(score, choice) for _, _, score, choice in sorted(found)]


# Continuous scores; few values, so many ties, and 0.1 + 0.2 + 0.3 depends on the order; with -inf.
_DRAWS = {
    "continuous": lambda rng: rng.gauss(0, 1),
    "ties": lambda rng: rng.choice([0.1, 0.2, 0.3]),
    "minus infinity": lambda rng: rng.choice([-math.inf, -0.1, -0.3]),
    "huge range": lambda rng: rng.choice([1e300, 1.0, 5e-324, 0.0, -1e-300]),
}


def _groups(seed, draw, count, most=4):
    rng = random.Random(seed)
    return [
        [(_DRAWS[draw](rng), f"{group}{o}") for o in range(rng.randint(0, most))]
        for group in range(count)
    ]


@pytest.mark.parametrize("draw", _DRAWS)
@pytest.mark.parametrize("seed", range(8))
def test_best_subsets_equals_enumeration(seed, draw):
    items = _groups(seed, draw, 5)
    for size in range(6):
        expected = _all_subsets(items, size)
        for limit in (1, 2, 5, 17, 10_000):
            assert best_subsets(items, size, limit) == expected[:limit]


@pytest.mark.parametrize("draw", _DRAWS)
@pytest.mark.parametrize("seed", range(8))
def test_best_combinations_equals_enumeration(seed, draw):
    factors = [sorted(g, key=lambda option: -option[0]) for g in _groups(seed, draw, 4)]
    expected = _all_combinations(factors)
    for limit in (1, 2, 5, 17, 10_000):
        assert best_combinations(factors, limit) == expected[:limit]


@pytest.mark.parametrize("seed", range(50))
def test_first_subset_is_the_greedy_choice(seed):
    rng = random.Random(seed)
    # Sums in floats would tell {0.1, 0.2, 0.3} from {0.3, 0.2, 0.1}, and so would not be greedy.
    items = [[(rng.choice([0.1, 0.2, 0.3, 0.7]), o) for o in "abc"] for _ in range(7)]
    best = [max(options, key=lambda option: option[0]) for options in items]  # the first of equals
    for size in range(1, 8):
        chosen = sorted(sorted(range(7), key=lambda i: -best[i][0])[:size])
        (_, choice), *_ = best_subsets(items, size, 1)
        assert choice == tuple((i, best[i][1]) for i in chosen)


def test_subsets_by_hand():
    items = [[(-1.0, "a"), (-3.0, "b")], [(-2.0, "c")], [(-0.5, "d"), (-math.inf, "e")]]
    assert best_subsets(items, 2, 4) == [
        (-1.5, ((0, "a"), (2, "d"))),
        (-2.5, ((1, "c"), (2, "d"))),
        (-3.0, ((0, "a"), (1, "c"))),
        (-3.5, ((0, "b"), (2, "d"))),
    ]


def test_the_options_themselves_are_never_compared():
    items = [[(0.0, object()), (0.0, object())]] * 3
    assert len(best_subsets(items, 2, 100)) == 12
    assert len(best_combinations(items, 100)) == 8


def test_minus_infinity_never_beats_a_finite_score():
    items = [[(-math.inf, "x")], [(-1e308, "y")], [(-1e308, "z")]]
    scores = [score for score, _ in best_subsets(items, 1, 3)]
    assert scores == [-1e308, -1e308, -math.inf]


def test_nothing_to_choose():
    assert best_subsets([[], [(0.0, "a")]], 0, 5) == [(0.0, ())]
    assert best_subsets([[], [(0.0, "a")]], 2, 5) == []
    assert best_combinations([], 5) == [(0.0, ())]
    assert best_combinations([[(0.0, "a")], []], 5) == []


def test_large_spaces_take_milliseconds():
    rng = random.Random(0)
    items = [[(rng.random(), o) for o in range(20)] for _ in range(60)]  # 10^32 subsets
    start = time.perf_counter()
    assert len(best_subsets(items, 20, 100)) == 100
    factors = [sorted(options, reverse=True) for options in items]
    assert len(best_combinations(factors, 100)) == 100
    assert time.perf_counter() - start < 2  # 0.15 s measured; enumerating would never end


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_subsets([[(0.0, "a")]], 2, 1), "between 0 and .* 1, got size=2; choose"),
        (lambda: best_subsets([[(0.0, "a")]], -1, 1), "got size=-1"),
        (lambda: best_subsets([[(0.0, "a")]], 1, 0), "limit must be at least 1, got limit=0"),
        (lambda: best_subsets([[(math.nan, "a")]], 1, 1), "finite or -inf, got nan in entry 0"),
        (lambda: best_subsets([[(math.inf, "a")]], 1, 1), "finite or -inf, got inf in entry 0"),
        (lambda: best_combinations([[(0.0, "a")]], 0), "limit must be at least 1"),
        (lambda: best_combinations([[(0.0, "a"), (1.0, "b")]], 1), "factor 0 must be sorted"),
        (lambda: best_combinations([[(math.nan, "a")]], 1), "finite or -inf"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
