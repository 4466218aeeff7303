from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch

from nni_darts.search import random_state


def draws() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()


def test_a_state_repeats_the_draws_also_from_a_file() -> None:
    state = random_state.get_state()
    first = draws()
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    for kept in (state, torch.load(file, weights_only=True)):
        draws()
        random_state.set_state(kept)
        assert draws() == first


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(1), np.random.rand, random.random, lambda: random.gauss(0, 1)],
    ids=["torch", "numpy", "python", "gauss"],
)
def test_same_sees_every_draw(draw) -> None:
    before = random_state.get_state()
    assert random_state.same(before, random_state.get_state())
    draw()
    assert not random_state.same(before, random_state.get_state())


def test_at_rest_nothing_is_asked_or_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object) -> None:
        raise AssertionError("a GPU's generator may not be asked in a capture")

    state = random_state.get_state()
    draws()
    with monkeypatch.context() as patch, random_state.at_rest():
        patch.setattr(torch, "get_rng_state", forbidden)
        patch.setattr(torch, "set_rng_state", forbidden)
        random_state.set_state(random_state.get_state())
    assert not random_state.same(state, random_state.get_state())
    with pytest.raises(ZeroDivisionError), random_state.at_rest():
        raise ZeroDivisionError
    assert random_state.get_state()
