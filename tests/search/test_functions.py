from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from smooth import Smooth
from torch.optim import SGD

from nni_darts.search import functions
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.hypergradient import Exact, FiniteDifference, FirstOrder

PARTS = {"first_order": FirstOrder, "finite_difference": FiniteDifference, "exact": Exact}


@pytest.mark.parametrize("clip", [None, 0.01])
@pytest.mark.parametrize("name", PARTS)
def test_a_function_is_its_part_on_one_step(name: str, clip: float | None) -> None:
    p = Smooth()
    sgd = SGD(p.weights, 0.1)
    given = (p.train_loss, p.val_loss, p.weights, p.alphas, sgd, [p.model])
    part = FirstOrder() if name == "first_order" else PARTS[name](clip)
    found = getattr(functions, name)(*given, clip)
    for one, other in zip(found, part(BilevelStep(*given)), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


@pytest.mark.parametrize("name", PARTS)
def test_a_clip_is_checked_by_each(name: str, message: Callable[..., str]) -> None:
    p = Smooth()
    given = (p.train_loss, p.val_loss, p.weights, p.alphas, SGD(p.weights, 0.1))
    text = message(ValueError, getattr(functions, name), *given, clip=-1.0)
    assert "clip" in text
    assert "-1.0" in text
