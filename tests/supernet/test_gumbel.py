"""Draws of one operation: golden numbers, frequencies, gradients by hand, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from golden import load
from torch import Tensor

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Moment
from nni_darts.supernet.gumbel import Gumbel

CASES = [("gdas_nb201.pt", ""), ("gdas_nasnet.pt", "_normal"), ("gdas_nasnet.pt", "_reduce")]


def replay(monkeypatch: pytest.MonkeyPatch, exponential: Tensor) -> None:
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self: self.copy_(exponential))


@pytest.mark.parametrize(("file", "kind"), CASES)
def test_the_published_draws(file: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in load(f"variants/{file}")["cases"]:
        alpha = case[f"alphas{kind}"].clone().requires_grad_()
        replay(monkeypatch, torch.exp(-case[f"gumbel{kind}"]))
        h = Gumbel(float(case["tau"])).weights(alpha)
        index, p = case[f"index{kind}"], case[f"probs{kind}"]
        assert torch.equal(h.argmax(-1), index)
        hard = torch.nn.functional.one_hot(index, h.shape[-1]).double()
        torch.testing.assert_close(h.detach(), hard, rtol=0, atol=1e-15)
        u = torch.linspace(-1, 2, h.numel(), dtype=torch.float64).view_as(h)
        (found,) = torch.autograd.grad((u * h).sum(), alpha)
        # (diag(p) - p p^T) u / tau
        expected = p * (u - (p * u).sum(-1, keepdim=True)) / case["tau"]
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-11)


def test_the_published_gradient_of_the_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in load("variants/gdas_nb201.pt")["cases"]:
        alpha = case["alphas"].clone().requires_grad_()
        replay(monkeypatch, case["exponential"])
        h = Gumbel(float(case["tau"])).weights(alpha)
        torch.testing.assert_close(h.detach(), case["hard_weights"], rtol=1e-8, atol=1e-11)
        (found,) = torch.autograd.grad((case["u"] * h).sum(), alpha)
        torch.testing.assert_close(found, case["grad_of_u_dot_hard"], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("tau", [0.1, 5.0])
def test_operations_are_drawn_by_their_softmax_at_any_temperature(tau: float) -> None:
    torch.manual_seed(0)
    alpha = torch.tensor([1.0, -1.0, 0.0, 0.5], dtype=torch.float64)
    h = Gumbel(tau).weights(alpha.expand(200_000, -1))
    torch.testing.assert_close(h.mean(0), alpha.softmax(-1), rtol=0, atol=4e-3)
    assert torch.equal(Gumbel(tau).probabilities(alpha), alpha.softmax(-1))


def test_the_mean_gradient_is_that_of_the_relaxed_mean() -> None:
    """By many draws beside a difference of means over the same noise."""
    torch.manual_seed(0)
    n, tau, step = 100_000, 1.5, 1e-4
    u = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    alpha = torch.tensor([0.3, -0.6, 0.1], dtype=torch.float64, requires_grad=True)
    noise = -torch.empty(n, 3, dtype=torch.float64).exponential_().log()
    (found,) = torch.autograd.grad((u * Gumbel(tau).weights(alpha.expand(n, -1))).sum() / n, alpha)
    shifts = step * torch.eye(3, dtype=torch.float64)
    relaxed = [
        [(((alpha.detach() + s + noise) / tau).softmax(-1) * u).sum(-1).mean() for s in (d, -d)]
        for d in shifts
    ]
    expected = torch.tensor([(p - m) / (2 * step) for p, m in relaxed], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=4e-3)


def test_nothing_is_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    for exponential in (0.0, 1e-45, 104.0):
        for tau in (1e-38, 1e30):
            replay(monkeypatch, torch.tensor([exponential, 1.0, 0.0]))
            alpha = torch.tensor([80.0, -80.0, 80.0], requires_grad=True)
            h = Gumbel(tau).weights(alpha)
            assert h.detach().max().item() == pytest.approx(1)
            (slope,) = torch.autograd.grad((h * torch.tensor([1.0, 2, 3])).sum(), alpha)
            assert torch.isfinite(slope).all()


def test_the_temperature_falls_to_its_end() -> None:
    taus = [Gumbel().at(Moment(epoch, 250)).tau for epoch in (0, 83, 249)]
    assert taus == pytest.approx([10, 10 - 9.9 * 83 / 249, 0.1])
    assert math.isclose(Gumbel([2, 1]).at(Moment(0, 1)).tau, 2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tau": [0.1, 10]}, "tau must fall, or stay, from start to end, got 0.1 to 10"),
        ({"tau": [10, 0]}, "tau must be positive"),
        ({"tau": [10, 5, 1]}, "tau must be a number, or [start, end]"),
        ({"unselected": "one"}, "unknown unselected: 'one'; did you mean 'ones'?"),
        ({"temperature": 1}, "unknown option of relaxation gumbel, 'temperature'"),
    ],
)
def test_what_is_refused(options: dict[str, Any], expected: str, message: Any) -> None:
    text = message(ValueError, UnrolledDARTS, relaxation={"name": "gumbel", **options})
    assert expected in text
