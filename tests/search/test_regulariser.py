"""Regularisers: by hand, and in the step of a search under every hypergradient."""

from __future__ import annotations

from typing import Any

import golden
import pytest
import spaces
import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.optimizer import register_optimizer_step_pre_hook

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Moment
from nni_darts.search.regulariser import BetaDecay, Row, gradient


def rows(*alphas: Tensor) -> list[Row]:
    return [Row(alpha, alpha.softmax(-1)) for alpha in alphas]


def test_beta_decay_by_hand() -> None:
    alphas = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in ([0.0, 1], [2, 3])]
    term = BetaDecay(1.0).term(rows(*alphas))
    expected = (torch.log(torch.tensor(1 + torch.e)) + 2 + torch.log(torch.tensor(1 + torch.e))) / 2
    assert term.item() == pytest.approx(expected.item(), rel=1e-6)
    found = gradient(BetaDecay(3.0), rows(*alphas), alphas)
    for alpha, g in zip(alphas, found, strict=True):
        torch.testing.assert_close(g, 3 * alpha.softmax(-1).detach() / 2)


@pytest.mark.parametrize("case", range(5))
def test_beta_decay_is_the_references(case: int) -> None:
    reference = golden.load("variants/beta_darts.pt")["cases"][case]
    alphas = [alpha.clone().requires_grad_() for alpha in reference["alphas"]]
    same = {"rtol": 1e-8, "atol": 1e-11}
    torch.testing.assert_close(BetaDecay(1.0).term(rows(*alphas)), reference["value"], **same)
    found = torch.stack(gradient(BetaDecay(1.0), rows(*alphas), alphas))
    torch.testing.assert_close(found, reference["grad"], **same)


@pytest.mark.parametrize("case", range(4))
def test_the_gradient_of_the_references_architect(case: int) -> None:
    # Trap 33: there the weight rises by 50 in 100 epochs.
    (whole,) = [v for k, v in golden.load("variants/beta_darts.pt").items() if "whole" in k]
    one = whole[case]
    alphas = [alpha.clone().requires_grad_() for alpha in one["alphas"]]
    decay = BetaDecay().at(Moment(one["epoch"].item(), 100))
    assert decay.weight == pytest.approx(one["weight"].item())
    loss = torch.autograd.grad((torch.stack(alphas) ** 2 * one["x"]).sum(), alphas)
    terms = gradient(decay, rows(*alphas), alphas)
    found = torch.stack([a + b for a, b in zip(loss, terms, strict=True)])
    torch.testing.assert_close(found, one["grad"], rtol=1e-8, atol=1e-11)


def test_the_weight_rises_with_the_epochs() -> None:
    decay = BetaDecay()
    weights = [decay.at(Moment(epoch, 100)).weight for epoch in (0, 1, 99)]
    assert weights == [0, 0.5, 49.5]


def test_an_alpha_that_a_term_does_not_have_gets_zero() -> None:
    alphas = [torch.zeros(2, requires_grad=True), torch.zeros(3, requires_grad=True)]
    first, second = gradient(BetaDecay(1.0), rows(alphas[0]), alphas)
    assert first.tolist() == [0.5, 0.5]
    assert second.tolist() == [0, 0, 0]


@pytest.mark.parametrize("hypergradient", ["first_order", "finite_difference", "exact"])
def test_it_is_added_to_the_gradient_of_the_architect(hypergradient: str) -> None:
    found = {}
    for weight in (None, 2.0):
        terms = [] if weight is None else [{"name": "beta_decay", "weight": weight}]
        torch.manual_seed(0)
        strategy = UnrolledDARTS(hypergradient=hypergradient, regularisers=terms)
        one = spaces.loader(8), spaces.loader(8, seed=5)
        spaces.start(spaces.Plain(), strategy, spaces.evaluator(spaces.Recipe(0.3), *one))
        module = strategy.oneshot_module
        module.set_model(strategy.supernet)
        before = [alpha.detach().clone() for alpha in module.arch_parameters()]
        found[weight] = []

        def note(optimizer: Any, *_: Any, seen: Any = found[weight]) -> None:
            if isinstance(optimizer, Adam):
                seen += [p.grad.clone() for p in optimizer.param_groups[0]["params"]]

        hook = register_optimizer_step_pre_hook(note)
        strategy.run()
        hook.remove()
        logged = {k: float(v) for k, v in module.trainer.callback_metrics.items()}
        norms = {name for name in logged if name.startswith("gradient/")}
        assert norms == (set() if weight is None else {"gradient/loss", "gradient/BetaDecay"})
    n = len(before)
    for with_term, without, alpha in zip(found[2.0], found[None], before, strict=True):
        torch.testing.assert_close(with_term - without, 2 * alpha.softmax(-1) / n)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("beta_decay", "regularisers must be a list, as in [beta_decay], got 'beta_decay'"),
        (
            ["beta_decai"],
            "unknown regulariser 'beta_decai'; did you mean 'beta_decay'? (known: beta_decay)",
        ),
        (
            [{"name": "beta_decay", "weight": -1}],
            "regulariser beta_decay: weight must be at least 0, got -1",
        ),
    ],
)
def test_a_regulariser_that_there_is_not(given: Any, expected: str, message: Any) -> None:
    assert message(ValueError, UnrolledDARTS, regularisers=given) == expected


def test_a_weight_that_rises_to_an_end_that_there_is_not(message: Any) -> None:
    strategy = UnrolledDARTS(regularisers=["beta_decay"])
    text = message(ValueError, spaces.search, spaces.Plain(), strategy, max_epochs=-1)
    assert text == (
        "BetaDecay changes until the last epoch, and the search has none; give the trainer "
        "max_epochs, or BetaDecay a constant"
    )
