"""The truncated Neumann series against what is known in closed form, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from smooth import OPTIMIZERS, Smooth, real_step, relative_error
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer, RMSprop

from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.hypergradient import Exact, FirstOrder
from nni_darts.search.neumann import Neumann


class Quadratic:
    """L_train = w'Aw / 2 - w'B alpha, L_val = |w - t|^2 / 2 + c'alpha, at w*(alpha) = A^-1 B alpha.

    With weight decay lambda, A + lambda I stands for A in w* and in its derivative.
    """

    def __init__(self, decay: float = 0.0) -> None:
        torch.manual_seed(3)
        root = torch.randn(5, 5, dtype=torch.float64)
        self.A = root @ root.T / 5 + 0.5 * torch.eye(5, dtype=torch.float64)
        self.B = torch.randn(5, 3, dtype=torch.float64)
        self.t, self.c = torch.randn(5).double(), torch.randn(3).double()
        self.H = self.A + decay * torch.eye(5, dtype=torch.float64)
        self.alpha = torch.randn(3, dtype=torch.float64, requires_grad=True)
        w = torch.linalg.solve(self.H, self.B @ self.alpha.detach())
        # Two weights, of which one may be in a group of its own.
        self.weights = [part.clone().requires_grad_() for part in w.split([3, 2])]

    def train_loss(self) -> Tensor:
        w = torch.cat(self.weights)
        return w @ self.A @ w / 2 - w @ self.B @ self.alpha

    def val_loss(self) -> Tensor:
        return (torch.cat(self.weights) - self.t).square().sum() / 2 + self.c @ self.alpha

    def gradient(self, hypergradient: Any, optimizer: Optimizer) -> Tensor:
        step = BilevelStep(self.train_loss, self.val_loss, self.weights, [self.alpha], optimizer)
        (g,) = hypergradient(step)
        return g

    @property
    def v(self) -> Tensor:
        return torch.cat(self.weights).detach() - self.t

    def implicit(self) -> Tensor:
        """dL_val(w*(alpha), alpha) / dalpha = c + B' H^-1 v."""
        return self.c + self.B.T @ torch.linalg.solve(self.H, self.v)

    def truncated(self, eta: Tensor, terms: int) -> Tensor:
        """c + B' sum_{k <= terms} (E (I - H E)^k) v with E = diag(eta)."""
        E = torch.diag(eta)
        series = sum(
            E @ torch.linalg.matrix_power(torch.eye(5).double() - self.H @ E, k)
            for k in range(terms + 1)
        )
        return self.c + self.B.T @ (series @ self.v)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_more_terms_come_nearer_to_the_exact_implicit_gradient(decay: float) -> None:
    problem = Quadratic(decay)
    sgd = SGD(problem.weights, lr=0.3, weight_decay=decay)
    expected = problem.implicit()
    errors = [
        relative_error([problem.gradient(Neumann(terms), sgd)], [expected])
        for terms in (0, 3, 10, 50, 400)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1
    assert errors[-1] < 1e-12


def test_the_implicit_gradient_is_the_slope_along_the_minima() -> None:
    # A second way to what the series must come to: L_val at the minima of two other alphas.
    problem = Quadratic()

    def value(alpha: Tensor) -> Tensor:
        w = torch.linalg.solve(problem.A, problem.B @ alpha)
        return (w - problem.t).square().sum() / 2 + problem.c @ alpha

    slope = torch.func.grad(value)(problem.alpha.detach())
    found = problem.gradient(Neumann(400), SGD(problem.weights, lr=0.3))
    assert relative_error([found], [slope]) < 1e-12


@pytest.mark.parametrize("terms", [0, 1, 3, 8])
def test_each_group_has_its_own_learning_rate(terms: int) -> None:
    problem = Quadratic()
    first, second = problem.weights
    sgd = SGD([{"params": [first]}, {"params": [second], "lr": 0.1}], lr=0.3)
    eta = torch.tensor([0.3] * 3 + [0.1] * 2, dtype=torch.float64)
    found = problem.gradient(Neumann(terms), sgd)
    assert relative_error([found], [problem.truncated(eta, terms)]) < 1e-12
    assert relative_error([found], [problem.truncated(eta * 2, terms)]) > 1e-2


def test_a_clip_scales_the_learning_rate() -> None:
    problem = Quadratic()
    with torch.no_grad():
        problem.weights[0] += 1.0  # at the minimum there is nothing to clip
    sgd = SGD(problem.weights, lr=0.3)
    gradients = torch.autograd.grad(problem.train_loss(), problem.weights)
    gamma = 0.25 / (torch.cat(gradients).norm().item() + 1e-6)
    assert gamma < 0.5
    eta = torch.full((5,), 0.3 * gamma, dtype=torch.float64)
    found = problem.gradient(Neumann(3, clip=0.25), sgd)
    assert relative_error([found], [problem.truncated(eta, 3)]) < 1e-12
    wide = problem.gradient(Neumann(3, clip=1e6), sgd)
    assert torch.equal(wide, problem.gradient(Neumann(3), sgd))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_further_terms_it_is_one_unrolled_step(name: str) -> None:
    # Second way: Eq. 7 with L_val at w, by a step that goes nowhere from where it is measured.
    problem = Smooth()
    optimizer = OPTIMIZERS[name](problem.weights)
    for _ in range(2):
        real_step(problem, optimizer)
    step = problem.step(optimizer)
    start = [weight.detach().clone() for weight in problem.weights]

    def val_loss_at_w() -> Tensor:
        for weight, value in zip(problem.weights, start, strict=True):
            weight.data = value
        return problem.val_loss()

    at_w = BilevelStep(
        problem.train_loss, val_loss_at_w, problem.weights, problem.alphas, optimizer, step.modules
    )
    assert relative_error(Neumann(0)(step), Exact()(at_w)) < 1e-12
    assert relative_error(Neumann(2)(step), Neumann(0)(step)) > 1e-5


def test_weights_that_no_loss_uses() -> None:
    problem = Quadratic()
    expected = problem.gradient(Neumann(), SGD(problem.weights, lr=0.3))
    problem.weights.append(torch.ones(2, dtype=torch.float64, requires_grad=True))
    sgd = SGD(problem.weights, lr=0.3)
    used = problem.weights[:2]
    problem.weights, everything = used, problem.weights
    step = BilevelStep(problem.train_loss, problem.val_loss, everything, [problem.alpha], sgd)
    assert torch.equal(Neumann()(step)[0], expected)


def test_without_a_learning_rate_it_is_the_first_order() -> None:
    problem = Quadratic()
    sgd = SGD(problem.weights, lr=0.0)
    assert torch.equal(problem.gradient(Neumann(), sgd), problem.gradient(FirstOrder(), sgd))


def test_an_optimiser_that_cannot_be_followed() -> None:
    problem = Quadratic()
    with pytest.raises(TypeError, match="got the weight optimiser RMSprop"):
        problem.gradient(Neumann(), RMSprop(problem.weights))
    with pytest.raises(TypeError, match="got the weight optimiser RMSprop"):
        Neumann().require(RMSprop(problem.weights))
    Neumann().require(Adam(problem.weights))


@pytest.mark.parametrize("terms", [-1, 1.5, True, "3", None, 10**7])
def test_terms_of_another_kind(terms: Any) -> None:
    with pytest.raises(ValueError, match="terms must be"):
        Neumann(terms)


@pytest.mark.parametrize("clip", [0, -1.0, "1", True, float("nan")])
def test_a_clip_of_another_kind(clip: Any) -> None:
    with pytest.raises(ValueError, match="clip must be"):
        Neumann(clip=clip)
