from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

from nni_darts.search.bilevel_step import BilevelStep, derivatives


class Step:
    """A step on two weights, an alpha and a module that counts its passes in a buffer."""

    def __init__(self) -> None:
        self.w = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.alpha = nn.Parameter(torch.tensor(3.0))
        self.module = nn.Module()
        self.module.register_buffer("count", torch.zeros(()))
        self.sgd = SGD([self.w], 0.1)

    def loss(self) -> torch.Tensor:
        self.module.count += 1
        return self.alpha * self.w.sum() + torch.rand(())

    def made(self, **changes: Any) -> BilevelStep:
        given: dict[str, Any] = {
            "train_loss": self.loss,
            "val_loss": self.loss,
            "weights": [self.w],
            "alphas": [self.alpha],
            "optimizer": self.sgd,
            "modules": [self.module],
        }
        return BilevelStep(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train_loss": 3}, "train_loss must be"),
        ({"val_loss": torch.ones(())}, "val_loss must be"),
        ({"weights": [3]}, "weights must"),
        ({"alphas": nn.Linear(1, 1)}, "alphas must"),
        ({"optimizer": "sgd"}, "optimizer must be an optimiser of torch, got 'sgd'"),
        ({"modules": [torch.ones(())]}, "modules must"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_arguments_of_another_kind(
    changes: dict[str, Any], expected: str, message: Callable[..., str]
) -> None:
    assert message(TypeError, Step().made, **changes).startswith(expected)


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_lent_out_is_given_back(fails: bool) -> None:
    parts = Step()
    step, storage, buffer = parts.made(), parts.w.data_ptr(), parts.module.count
    state = torch.get_rng_state()
    with pytest.raises(KeyError) if fails else torch.enable_grad(), step.passes() as run:
        step.put([torch.tensor([5.0, 5.0])])
        assert 30 <= float(run(step.train_loss).detach()) < 31
        if fails:
            raise KeyError
    assert parts.w.data_ptr() == storage
    assert parts.w.tolist() == [1.0, 2.0]
    assert parts.module.count is buffer
    assert float(buffer) == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_all_passes_begin_alike() -> None:
    parts = Step()
    step = parts.made()
    counts = []
    with step.passes() as run:
        first, second = (run(step.train_loss) for _ in range(2))
        counts.append(float(parts.module.count))
    assert torch.equal(first, second)
    assert counts == [1]


def test_constant_weights_want_no_gradient() -> None:
    parts = Step()
    step = parts.made()

    def broken_off() -> None:
        with step.constant_weights():
            assert not parts.w.requires_grad
            assert parts.alpha.requires_grad
            raise KeyError

    with pytest.raises(KeyError):
        broken_off()
    assert parts.w.requires_grad


def test_derivatives_are_zero_where_nothing_was_used() -> None:
    used, unused = (torch.tensor(2.0, requires_grad=True) for _ in range(2))
    found = derivatives(used**3, [used, unused])
    assert [float(value) for value in found] == [12, 0]
    assert not any(value.requires_grad for value in found)
    assert [float(value) for value in derivatives(torch.ones(()), [used])] == [0]


def test_derivatives_of_several_outputs_are_weighted() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    constant = torch.tensor(7.0)
    weights = [torch.tensor(10.0), torch.tensor(100.0), torch.tensor(1.0)]
    (found,) = derivatives([x**2, constant, 3 * x], [x], weights, again=True)
    assert float(found) == 10 * 4 + 3
    assert [float(value) for value in derivatives([constant], [x], weights[:1])] == [0]
