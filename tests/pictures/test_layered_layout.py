from __future__ import annotations

import random

import pytest
from layouts import require_clear

from nni_darts.pictures.layered_layout import place


@pytest.mark.parametrize("seed", range(10))
def test_random_graphs_are_clear(seed: int) -> None:
    rng = random.Random(seed)
    ranks = [*sorted(rng.randrange(5) for _ in range(8)), 5]
    pairs = [(a, b) for a in range(9) for b in range(9) if ranks[a] < ranks[b]]
    links = rng.choices(pairs, k=12)
    sizes = [(rng.uniform(10, 40), rng.uniform(10, 60)) for _ in ranks]
    labels = [rng.choice([None, (40.0, 20.0), (60.0, 10.0)]) for _ in links]
    layout = place(sizes, ranks, links, labels)
    require_clear(layout, links)
    assert place(sizes, ranks, links, labels) == layout


def test_a_link_through_a_rank_is_straight_where_it_can_be() -> None:
    layout = place([(20, 20)] * 3, [0, 1, 2], [(0, 1), (1, 2)], [(30, 10), None])
    assert {y for route in layout.routes for _, y in route} == {10}


def test_no_crossing_where_none_is_needed() -> None:
    links = [(0, 4), (1, 3), (2, 5)]
    layout = place([(20, 20)] * 6, [0, 0, 0, 1, 1, 1], links, [None] * 3)
    starts = sorted(range(3), key=lambda i: layout.routes[i][0][1])
    assert starts == sorted(range(3), key=lambda i: layout.routes[i][-1][1])
    assert layout.boxes[0].y < layout.boxes[2].y
