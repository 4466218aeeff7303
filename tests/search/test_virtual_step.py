from __future__ import annotations

from typing import Any

import pytest
import torch
from smooth import OPTIMIZERS, Smooth, real_step
from torch.optim import SGD, Adam, AdamW, NAdam

from nni_darts.search.virtual_step import require_followable, step_sizes, virtual_step


@pytest.mark.parametrize("warm", [False, True], ids=["first step", "with buffers"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_virtual_step_is_the_step_of_the_optimiser(name: str, warm: bool) -> None:
    # Trap 10: the momentum, the weight decay and the current learning rate belong to the step.
    problem = Smooth()
    optimizer = OPTIMIZERS[name](problem.weights)
    if warm:
        real_step(problem, optimizer)
        real_step(problem, optimizer)
        optimizer.param_groups[0]["lr"] = 0.05
        for state in optimizer.state.values():
            if "max_exp_avg_sq" in state:  # a gradient was larger once
                state["max_exp_avg_sq"] *= 2
    gradients = torch.autograd.grad(problem.train_loss(), problem.weights)
    w_prime = [w.detach().clone() for w in virtual_step(problem.weights, gradients, optimizer)]
    real_step(problem, optimizer)
    for got, expected in zip(w_prime, problem.weights, strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("warm", [False, True], ids=["first step", "with buffers"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_size_is_the_derivative_of_the_virtual_step(name: str, warm: bool) -> None:
    problem = Smooth()
    optimizer = OPTIMIZERS[name](problem.weights)
    if warm:
        real_step(problem, optimizer)
    gradients = [torch.randn_like(w).requires_grad_() for w in problem.weights]
    w_prime = virtual_step(problem.weights, gradients, optimizer)
    slopes = torch.autograd.grad([w.sum() for w in w_prime], gradients)
    for slope, size in zip(slopes, step_sizes(problem.weights, gradients, optimizer), strict=True):
        torch.testing.assert_close(slope, torch.zeros_like(slope) - size)


def test_a_weight_without_a_gradient_stays() -> None:
    problem = Smooth()
    for make in OPTIMIZERS.values():
        optimizer = make(problem.weights)
        nothing = [None] * len(problem.weights)
        w_prime = virtual_step(problem.weights, nothing, optimizer)
        assert all(a is b for a, b in zip(w_prime, problem.weights, strict=True))
        assert step_sizes(problem.weights, nothing, optimizer) == [0.0] * len(problem.weights)


def test_a_learning_rate_that_is_a_tensor() -> None:
    problem = Smooth()
    gradients = torch.autograd.grad(problem.train_loss(), problem.weights)
    found = [
        virtual_step(problem.weights, gradients, Adam(problem.weights, lr=lr))
        for lr in (0.25, torch.tensor(0.25))
    ]
    for got, expected in zip(*found, strict=True):
        assert torch.equal(got, expected)


def test_a_count_on_a_device_is_not_asked_for() -> None:
    # As in a CUDA graph, where asking would fail; the meta device has nothing to answer.
    with torch.device("meta"):
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = Adam([weight], lr=0.1)
        count = torch.tensor(1.0)
        moments = {name: torch.ones(3) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[weight] = {"step": count, **moments}
        (w_prime,) = virtual_step([weight], [torch.ones(3)], optimizer)
    assert w_prime.shape == (3,)


@pytest.mark.parametrize("base", [SGD, Adam, AdamW])
def test_one_that_steps_otherwise_is_refused(base: Any) -> None:
    class Other(base):
        def step(self, closure: Any = None) -> Any:
            raise NotImplementedError

    class Renamed(base):
        pass

    weights = Smooth().weights
    with pytest.raises(TypeError, match=r"SGD, Adam and AdamW, got .* Other; train"):
        require_followable(Other(weights))
    require_followable(Renamed(weights))
    with pytest.raises(TypeError, match="NAdam"):
        require_followable(NAdam(weights))
