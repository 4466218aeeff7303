from __future__ import annotations

import math

import pytest
import torch

from nni_darts.training.finite_losses import DivergedError, FiniteWatch, require_finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_error_names_what_when_and_the_value(value: float, message) -> None:
    text = message(DivergedError, require_finite, "training loss", torch.tensor(value), 3, 7)
    assert f"the training loss is {value} in epoch 3, step 7" in text


def test_on_the_cpu_it_raises_at_once() -> None:
    watch = FiniteWatch()
    watch.record("loss", torch.tensor(1.0), 0, 0)
    with pytest.raises(DivergedError, match="epoch 0, step 1"):
        watch.record("loss", torch.tensor(math.nan), 0, 1)


def waiting(every: int = 100) -> FiniteWatch:
    """As on a GPU."""
    return FiniteWatch(every, at_once=lambda loss: False)


def test_elsewhere_it_looks_later_and_names_the_first() -> None:
    watch = waiting()
    for step, value in enumerate([1.0, math.inf, math.nan]):
        watch.record("training loss", torch.tensor(value, dtype=torch.bfloat16), 2, step)
    with pytest.raises(DivergedError, match="training loss is inf in epoch 2, step 1"):
        watch.raise_if_bad()
    watch.raise_if_bad()  # what was looked at is let go


def test_elsewhere_it_looks_when_there_are_many() -> None:
    watch = waiting(every=4)
    watch.record("loss", torch.tensor([math.nan]), 0, 0)
    watch.record("loss", torch.tensor(1.0), 0, 1)
    watch.record("loss", torch.tensor(1.0), 0, 2)
    with pytest.raises(DivergedError, match="epoch 0, step 0"):
        watch.record("loss", torch.tensor(1.0), 0, 3)


def test_a_loss_is_kept_without_its_graph() -> None:
    watch = waiting()
    watch.record("loss", torch.ones(1, requires_grad=True).sum(), 0, 0)
    ((_, loss, _, _),) = watch._kept
    assert loss.grad_fn is None
