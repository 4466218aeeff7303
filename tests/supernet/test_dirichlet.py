"""Draws of a Dirichlet distribution: golden numbers, moments and gradients by many draws."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from golden import SHARED, load
from torch import Tensor

from nni_darts import derive
from nni_darts.supernet.dirichlet import Dirichlet, concentration

ALPHA = torch.tensor([0.7, -0.9, 0.0, 1.8], dtype=torch.float64)
U = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def test_the_published_gradient_of_given_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in load("variants/drnas_nb201.pt")["sampler"]:
        sample = case["sample"]

        def replay(c: Tensor, *_: Any, case: Any = case) -> Tensor:
            torch.testing.assert_close(c, case["concentration"], rtol=1e-12, atol=0)
            return case["sample"].clone()

        monkeypatch.setattr(torch, "_sample_dirichlet", replay)
        alpha = case["alphas"].clone().requires_grad_()
        weights = Dirichlet().weights(alpha)
        assert torch.equal(weights.detach(), sample)
        (found,) = torch.autograd.grad((case["u"] * weights).sum(), alpha)
        torch.testing.assert_close(found, case["grad_torch"], rtol=1e-8, atol=1e-11)
        scale = case["grad_exact"].abs().max()
        assert (found - case["grad_exact"]).abs().max() <= 1e-3 * scale


def test_the_mean_and_its_gradient_are_those_of_the_distribution() -> None:
    torch.manual_seed(0)
    n = 200_000
    alpha = ALPHA.clone().requires_grad_()
    weights = Dirichlet().weights(alpha.expand(n, -1))
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(-1).detach(), torch.ones(n).double())
    c = torch.where(ALPHA > 0, ALPHA + 1, ALPHA.exp())
    mean = c / c.sum()
    torch.testing.assert_close(weights.mean(0).detach(), mean, rtol=0, atol=2e-3)
    variance = mean * (1 - mean) / (c.sum() + 1)
    torch.testing.assert_close(weights.var(0).detach(), variance, rtol=0.02, atol=0)
    # d sum(u c / S) / d alpha_i = (u_i - E) / S * dc_i, where dc = 1 or exp(alpha).
    (found,) = torch.autograd.grad((U * weights).sum() / n, alpha)
    expected = (U - (U * mean).sum()) / c.sum() * torch.where(ALPHA > 0, 1.0, ALPHA.exp())
    torch.testing.assert_close(found, expected, rtol=0.01, atol=2e-3)


def test_the_concentration_is_positive_and_smooth() -> None:
    alpha = torch.tensor([-80.0, -20.0, -1.0, 0.0, 2.0], requires_grad=True)
    c = concentration(alpha)
    torch.testing.assert_close(c[2:], torch.nn.functional.elu(alpha[2:]) + 1)
    assert (c > 0).all()
    (slope,) = torch.autograd.grad(c.sum(), alpha)
    torch.testing.assert_close(slope, alpha.detach().clamp(max=0).exp())


def test_a_single_choice_has_all_of_the_weight() -> None:
    alpha = torch.tensor([[0.3], [-2.0]], requires_grad=True)
    weights = Dirichlet().weights(alpha)
    assert weights.tolist() == [[1], [1]]
    assert torch.autograd.grad(weights.sum(), alpha)[0].tolist() == [[0], [0]]


def test_it_is_ranked_as_published() -> None:
    path = SHARED / "golden/variants/drnas_genotypes.json"
    if not path.exists():
        pytest.skip(f"{path} is not here: the reference numbers do not ship with the project")
    golden = json.loads(path.read_text())
    cases = [case for case in golden["cases"] if not case["pruned_to_4_first"]]
    assert len(cases) == 5
    for case in cases:
        for kind in ("normal", "reduce"):
            alphas = torch.tensor(case[f"alphas_{kind}"], dtype=torch.float64)
            # As a supernet ranks: by the logarithms of the probabilities.
            logs = Dirichlet().probabilities(alphas).log()
            cell = derive(logs.numpy(), golden["ops"], kind=kind)
            found = [{(e.operation, e.source) for e in node} for node in cell.nodes]
            pairs = [(name, source) for name, source in case[kind]]
            assert found == [set(pairs[i : i + 2]) for i in range(0, 8, 2)]
