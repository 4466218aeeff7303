"""Regularisers: by hand, and in the step of a search under every hypergradient."""

from __future__ import annotations

from typing import Any

import golden
import pytest
import spaces
import torch
from golden import load
from torch import Tensor
from torch.optim import Adam
from torch.optim.optimizer import register_optimizer_step_pre_hook

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Moment
from nni_darts.search.regulariser import KL, L2, BetaDecay, Row, ZeroOne, gradient
from nni_darts.supernet.dirichlet import Dirichlet


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


def test_l2_is_the_weight_decay_of_adam() -> None:
    alphas = [torch.tensor(a, requires_grad=True) for a in ([0.5, -1.0], [2.0, 3.0, -4.0])]
    assert L2(1.0).term(rows(*alphas)).item() == (0.25 + 1 + 4 + 9 + 16) / 2
    moved = []
    for decay, term in ((0.1, 0.0), (0.0, 0.1)):
        parameters = [alpha.detach().clone().requires_grad_() for alpha in alphas]
        adam = Adam(parameters, 0.1, (0.5, 0.999), weight_decay=decay)
        for _ in range(3):
            for alpha, g in zip(
                parameters, gradient(L2(term), rows(*parameters), parameters), strict=True
            ):
                alpha.grad = g + 1
            adam.step()
        moved.append(parameters)
    for one, other in zip(*moved, strict=True):
        torch.testing.assert_close(one, other)


def test_zero_one_by_hand() -> None:
    alphas = [torch.tensor(a, dtype=torch.float64) for a in ([0.0, 2.0], [-1.0, 0.5, 3.0])]
    for alpha in alphas:
        alpha.requires_grad_()
    sigmoids = [Row(alpha, alpha.sigmoid()) for alpha in alphas]
    every = torch.cat(alphas).detach().sigmoid()
    assert ZeroOne().weight == 10
    torch.testing.assert_close(
        ZeroOne().term(sigmoids).detach(), -((every - 0.5) ** 2).sum() / len(every)
    )
    found = torch.cat(gradient(ZeroOne(), sigmoids, alphas))
    expected = -10 * 2 * (every - 0.5) * every * (1 - every) / len(every)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("file", ["drnas_nb201.pt", "drnas_darts.pt"])
def test_the_anchor_of_drnas_is_the_published_one(file: str) -> None:
    for case in load(f"variants/{file}")["kl"]:
        anchor = KL(float(case["reg_scale"]))
        alphas = [row.clone().requires_grad_() for each in case["alphas"] for row in each]
        value = anchor.weight * anchor.term(rows(*alphas))
        torch.testing.assert_close(value.detach(), case["value"], rtol=1e-8, atol=1e-11)
        found = torch.stack(gradient(anchor, rows(*alphas), alphas))
        torch.testing.assert_close(found, torch.cat(case["grad"]), rtol=1e-8, atol=1e-11)


def test_the_anchor_is_the_mean_of_a_difference_of_log_densities() -> None:
    torch.manual_seed(0)
    alpha = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
    density = torch.distributions.Dirichlet(torch.nn.functional.elu(alpha) + 1)
    flat = torch.distributions.Dirichlet(torch.ones(3, dtype=torch.float64))
    x = density.sample((200_000,))
    expected = (density.log_prob(x) - flat.log_prob(x)).mean()
    assert KL().term(rows(alpha)).item() == pytest.approx(expected.item(), rel=0.02)
    assert KL().term(rows(torch.zeros(4).double())).item() == pytest.approx(0)


@pytest.mark.parametrize(
    ("term", "relaxation", "expected"),
    [
        (
            "zero_one",
            "softmax",
            "regulariser ZeroOne drives the weights of a sigmoid to 0 or 1, and the relaxation is "
            "Softmax; choose relaxation sigmoid, or leave the regulariser out",
        ),
        (
            "kl",
            "sigmoid",
            "regulariser KL anchors a Dirichlet distribution, and the relaxation is Sigmoid; "
            "choose relaxation dirichlet, or leave the regulariser out",
        ),
    ],
)
def test_a_term_that_is_made_for_another_relaxation(
    term: str, relaxation: str, expected: str, message: Any
) -> None:
    arguments = {"regularisers": [term], "relaxation": relaxation}
    assert message(ValueError, UnrolledDARTS, **arguments) == expected


@pytest.mark.parametrize(
    ("term", "relaxation"), [("zero_one", "sigmoid"), ("kl", Dirichlet()), ("l2", "softmax")]
)
def test_a_search_with_a_term(term: str, relaxation: Any) -> None:
    strategy = UnrolledDARTS(regularisers=[term], relaxation=relaxation)
    trainer = spaces.search(spaces.Plain(), strategy, max_epochs=1).oneshot_module.trainer
    assert sum(name.startswith("gradient/") for name in trainer.callback_metrics) == 2


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
            "unknown regulariser 'beta_decai'; did you mean 'beta_decay'? "
            "(known: beta_decay, kl, l2, zero_one)",
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
