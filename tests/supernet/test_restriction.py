from __future__ import annotations

import copy

import pytest
import torch

from nni_darts.supernet.mixture import Mixture
from nni_darts.supernet.relaxation import Softmax
from nni_darts.supernet.restriction import Only, Restriction, Without

ALPHA = torch.tensor([0.5, -1.0, 2.0])
P = ALPHA.softmax(-1)


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        (Without(1), [P[0], 0.0, P[2]]),
        (Only((2,)), [0.0, 0.0, 1.0]),
        (Only((0, 2)), [1.0, 0.0, 1.0]),
        (Only(()), [0.0, 0.0, 0.0]),
    ],
)
def test_what_is_left_of_mixing_weights(restriction: Restriction, expected: list[float]) -> None:
    alpha, other = ALPHA.clone().requires_grad_(), torch.zeros(2)
    mixture = Mixture(Softmax(), [alpha, other])
    mixture.restrict([(alpha, restriction)])
    torch.testing.assert_close(mixture.row(alpha), torch.tensor(expected))
    torch.testing.assert_close(mixture.probabilities(alpha), torch.tensor(expected))
    assert mixture.probabilities(alpha, torch.float64).dtype == torch.float64
    assert mixture.row(other).tolist() == [0.5, 0.5]
    with mixture.held([torch.ones(3), torch.ones(2)]):
        held = mixture.row(alpha)
        assert [bool(w) for w in held] == [bool(e) for e in expected]
        assert mixture.row(other).tolist() == [1.0, 1.0]


def test_alpha_learns_through_what_is_left_and_through_nothing_else() -> None:
    alpha = ALPHA.clone().requires_grad_()
    mixture = Mixture(Softmax(), [alpha])
    for restriction, learns in ((Without(0), True), (Only((0,)), False)):
        mixture.restrict([(alpha, restriction)])
        (gradient,) = torch.autograd.grad(mixture.row(alpha)[0] + mixture.row(alpha)[1], [alpha])
        assert bool(gradient.any()) is learns


def test_restrictions_end_with_their_block_and_go_with_a_copy() -> None:
    mixture = Mixture(Softmax(), [ALPHA])
    mixture.restrict([(ALPHA, Only((0,)))])
    with mixture.restricted([(ALPHA, Without(0))]):
        assert mixture.restrictions == ((0, Without(0)),)
        copied = copy.deepcopy(mixture)
    assert mixture.restrictions == ((0, Only((0,))),)
    assert copied.row(copied.alphas[0])[0] == 0.0
    assert not copied.at_once


def test_numbers_made_in_inference_serve_for_learning() -> None:
    alpha = ALPHA.clone().requires_grad_()
    mixture = Mixture(Softmax(), [alpha])
    mixture.restrict([(alpha, Without(0))])
    with torch.inference_mode():
        mixture.row(alpha)
    mixture.row(alpha).sum().backward()


class Asked(Without):
    times = 0

    def parts(self, choices: int) -> tuple[list[float], list[float]]:
        Asked.times += 1
        return super().parts(choices)


def test_numbers_stay_where_they_are_while_the_restriction_stays() -> None:
    mixture = Mixture(Softmax(), [ALPHA])
    for _ in range(3):
        mixture.restrict([(ALPHA, Asked(0))])
        mixture.row(ALPHA)
        with mixture.restricted([(ALPHA, Only(()))]):
            mixture.row(ALPHA)
    assert Asked.times == 1
