from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from nni_darts.search.functions import exact
from nni_darts.search.twice_differentiable import differentiated_twice


def hypergradient(operation: nn.Module) -> Tensor:
    alpha = torch.ones(3, dtype=torch.float64, requires_grad=True)
    linear = nn.Linear(4, 3).double()
    x = torch.randn(5, 2, 4, dtype=torch.float64)

    def loss() -> Tensor:
        return (operation(linear(x)) * alpha).square().mean()

    weights = [*linear.parameters()]
    (gradient,) = exact(loss, loss, weights, [alpha], SGD(weights, 0.1), [operation])
    return gradient


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)


class Spelt(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.mT / x.shape[-1] ** 0.5).softmax(-1) @ x


def test_attention() -> None:
    found = []
    for operation in (Attention(), Spelt()):
        torch.manual_seed(0)
        found.append(hypergradient(operation))
    assert torch.allclose(*found)


def test_an_operation_without_a_second_derivative_is_named() -> None:
    advice = r"for hardsigmoid; choose hypergradient='finite_difference' or 'first_order'"
    with pytest.raises(ValueError, match=advice) as caught:
        hypergradient(nn.Hardsigmoid())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "the derivative for '_cudnn_rnn_backward' is not implemented. Double backwards is not",
        "trying to differentiate twice a function that was marked with @once_differentiable",
    ],
)
def test_what_torch_says_elsewhere(message: str) -> None:
    with (
        pytest.raises(ValueError, match=r"_cudnn_rnn; choose|@once_differentiable; choose"),
        differentiated_twice("exact"),
    ):
        raise RuntimeError(message)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="another"), differentiated_twice("exact"):
        raise RuntimeError("another")
