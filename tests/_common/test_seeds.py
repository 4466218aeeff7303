from __future__ import annotations

from nni_darts._common.seeds import mixed


def test_neighbours_have_seeds_of_their_own() -> None:
    asked = [(a, b) for a in range(30) for b in range(30)]
    # A shorter one is no longer one that ends in zeros.
    asked_too = [(1,), (1, 0, 0), (1, 0, 0, 0), (0,), (0, 0, 0)]
    seeds = [mixed(*numbers) for numbers in (*asked, *asked_too)]
    assert len(set(seeds)) == len(seeds)
    assert 2**31 < max(seeds) < 2**32
