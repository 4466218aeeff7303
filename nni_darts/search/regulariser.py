"""Regularisers: terms in alpha that are added to the validation loss.

    min_alpha  L_val(w', alpha) + sum_r lambda_r(epoch) * R_r(alpha)

R depends on alpha alone, not on w: its gradient is added to the hypergradient of L_val, whichever
that is, and is exact. The weights of the network never feel it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nni_darts._common.checks import NOT_NEGATIVE
from nni_darts._common.schedule import Schedule, Scheduled, as_number, scheduled


class Row(NamedTuple):
    """The alphas of one label."""

    alpha: Tensor
    """Alphas (choices,), unnormalised."""
    probabilities: Tensor
    """Probabilities (choices,) by the relaxation, with their graph to alpha; never drawn."""


@dataclass(frozen=True)
class Regulariser(Scheduled, ABC):
    """A term weight * R(alpha) of the loss that alpha is learnt by.

    Args:
        weight: lambda, at least 0: a number, [start, end] for start + (end - start) * epoch /
            epochs, or a schedule.
    """

    weight: float | Schedule

    def __post_init__(self) -> None:
        weight = scheduled("weight", self.weight, NOT_NEGATIVE)
        object.__setattr__(self, "weight", weight)

    @abstractmethod
    def term(self, rows: Sequence[Row]) -> Tensor:
        """Return R (scalar), without its weight, with its graph to the alphas."""


def gradient(
    regulariser: Regulariser, rows: Sequence[Row], alphas: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Gradient of weight * R in each alpha, zero where it does not appear in R.

    Args:
        regulariser: at a moment of the search: its weight is a number.
        rows: every alpha that makes up the search space.
        alphas: those to differentiate in.
    """
    found = torch.autograd.grad(
        as_number(regulariser.weight) * regulariser.term(rows), alphas, allow_unused=True
    )
    return tuple(
        torch.zeros_like(alpha) if g is None else g for alpha, g in zip(alphas, found, strict=True)
    )


@dataclass(frozen=True)
class BetaDecay(Regulariser):
    """R = mean over rows of log sum_o exp(alpha_o), beta-DARTS (Ye et al., arXiv 2203.01665).

    Its gradient is softmax(alpha) / rows. The paper's weight rises from 0 to 50. Published code
    exists for NAS-Bench-201 only, with one kind of cell; the mean here is over all rows of all
    kinds of cells, which is their mean there.
    """

    weight: float | Schedule = (0.0, 50.0)  # type: ignore[assignment]

    def term(self, rows: Sequence[Row]) -> Tensor:
        return torch.stack([row.alpha.logsumexp(-1) for row in rows]).mean()
