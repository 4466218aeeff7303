"""The parts of a method at work: what each step asks them for."""

from __future__ import annotations

from typing import Any

import pytest
import spaces
import torch

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Linear, Moment
from nni_darts.search.method import Method
from nni_darts.search.perturbation import RandomSmoothing
from nni_darts.search.regulariser import L2, BetaDecay
from nni_darts.supernet.architectures import each_alpha

MOMENT = Moment(1, 4)


def at_work(**parts: Any) -> tuple[Method, list[Any]]:
    supernet = UnrolledDARTS().mutate_model(spaces.Plain())
    method = Method(**parts)
    method.put_to_work(supernet)
    return method, [alpha for _, alpha in each_alpha(supernet)]


def test_without_regularisers_the_gradient_is_the_losss() -> None:
    method, alphas = at_work()
    gradients = tuple(torch.ones_like(alpha) for alpha in alphas)
    found, norms = method.regularised(MOMENT, alphas, gradients)
    assert found is gradients
    assert norms == {}


def test_gradients_of_regularisers_are_added_and_measured_each() -> None:
    method, alphas = at_work(regularisers=[L2(1.0), BetaDecay(3.0), L2(Linear(0, 2))])
    gradients = tuple(torch.ones_like(alpha) for alpha in alphas)
    found, norms = method.regularised(MOMENT, alphas, gradients)
    assert list(norms) == ["loss", "L2", "BetaDecay", "L2~3"]
    for g, alpha in zip(found, alphas, strict=True):
        expected = 1 + 1.5 * alpha + 3 * alpha.softmax(-1) / len(alphas)
        torch.testing.assert_close(g, expected.detach())
    sizes = torch.cat([alpha.detach() for alpha in alphas])
    assert norms["loss"].item() == pytest.approx(len(sizes) ** 0.5)
    assert norms["L2"].item() == pytest.approx(sizes.norm().item())
    assert norms["L2~3"].item() == pytest.approx(0.5 * sizes.norm().item())


def test_what_is_perturbed_is_so_within_only() -> None:
    method, alphas = at_work(perturbation=RandomSmoothing(0.3))
    mixture = method.mixture
    assert mixture is not None
    own = mixture.row(alphas[0])
    with method.perturbed(MOMENT, lambda: torch.zeros(())):
        assert not torch.equal(mixture.row(alphas[0]), own)
    assert torch.equal(mixture.row(alphas[0]), own)


def test_steps_of_another_moment_are_told_apart() -> None:
    method, _ = at_work(regularisers=[BetaDecay()])
    assert method.now(MOMENT) == method.now(Moment(1, 4))
    assert method.now(MOMENT) != method.now(Moment(2, 4))
    assert method.options(MOMENT) == {"BetaDecay.weight": 12.5}
    constant, _ = at_work(regularisers=[BetaDecay(1.0)])
    assert constant.now(MOMENT) == constant.now(Moment(2, 4))
    assert constant.options(MOMENT) == {}


def test_what_changes_needs_an_end(message: Any) -> None:
    method, _ = at_work(perturbation=RandomSmoothing())
    method.require_an_end(3)
    for endless in (None, -1):
        assert message(ValueError, method.require_an_end, endless) == (
            "RandomSmoothing changes until the last epoch, and the search has none; give the "
            "trainer max_epochs, or RandomSmoothing a constant"
        )
