"""The hypergradients as functions, for a training loop of one's own; see `hypergradient`.

Each returns dL_val / dalpha, one tensor of its shape per alpha, detached. `BilevelStep` has what
the first six arguments are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from nni_darts.search.bilevel_step import BilevelStep, Loss
from nni_darts.search.hypergradient import Exact, FiniteDifference, FirstOrder

__all__ = ["exact", "finite_difference", "first_order"]


def first_order(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    optimizer: Optimizer,
    modules: Collection[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Gradient without a virtual step, `FirstOrder`.

    `clip` changes nothing: it is checked, so that the three functions stand for each other.
    """
    FiniteDifference(clip)
    step = BilevelStep(train_loss, val_loss, weights, alphas, optimizer, modules)
    return FirstOrder()(step)


def finite_difference(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    optimizer: Optimizer,
    modules: Collection[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Published gradient, `FiniteDifference`."""
    step = BilevelStep(train_loss, val_loss, weights, alphas, optimizer, modules)
    return FiniteDifference(clip)(step)


def exact(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    optimizer: Optimizer,
    modules: Collection[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Gradient by double backward, `Exact`."""
    step = BilevelStep(train_loss, val_loss, weights, alphas, optimizer, modules)
    return Exact(clip)(step)
