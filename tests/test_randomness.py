from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch

from nni_darts import randomness


def draws() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()


def test_a_state_repeats_the_draws_also_from_a_file() -> None:
    state = randomness.get_state()
    first = draws()
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    for kept in (state, torch.load(file, weights_only=True)):
        draws()
        randomness.set_state(kept)
        assert draws() == first


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(1), np.random.rand, random.random, lambda: random.gauss(0, 1)],
    ids=["torch", "numpy", "python", "gauss"],
)
def test_same_sees_every_draw(draw) -> None:
    before = randomness.get_state()
    assert randomness.same(before, randomness.get_state())
    draw()
    assert not randomness.same(before, randomness.get_state())


def test_at_rest_nothing_is_asked_or_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object) -> None:
        raise AssertionError("a GPU's generator may not be asked in a capture")

    state = randomness.get_state()
    draws()
    with monkeypatch.context() as patch, randomness.at_rest():
        patch.setattr(torch, "get_rng_state", forbidden)
        patch.setattr(torch, "set_rng_state", forbidden)
        randomness.set_state(randomness.get_state())
    assert not randomness.same(state, randomness.get_state())
    with pytest.raises(ZeroDivisionError), randomness.at_rest():
        raise ZeroDivisionError
    assert randomness.get_state()
