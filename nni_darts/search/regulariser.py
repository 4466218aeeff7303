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
from nni_darts.supernet.dirichlet import Dirichlet, concentration
from nni_darts.supernet.relaxation import Relaxation
from nni_darts.supernet.sigmoid import Sigmoid


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

    def require(self, relaxation: Relaxation) -> None:
        """Raise ValueError before a search for a relaxation that the term is not made for."""


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


@dataclass(frozen=True)
class L2(Regulariser):
    """R = sum alpha^2 / 2, over all entries of all rows.

    Its gradient is alpha: the weight is that of the weight decay of alpha's Adam, which adds the
    same to the gradient. This one can change with the epochs, and its norm is logged; both add up,
    so that `arc_weight_decay` is to be 0 where this stands for it.
    """

    weight: float | Schedule = 1e-3

    def term(self, rows: Sequence[Row]) -> Tensor:
        return torch.cat([row.alpha for row in rows]).square().sum() / 2


@dataclass(frozen=True)
class ZeroOne(Regulariser):
    """R = -mean (sigmoid(alpha) - 1/2)^2, over all entries of all rows, FairDARTS.

    Chu et al., ECCV 2020, arXiv 1911.12126, with the weight 10. It drives each weight to 0 or 1.
    """

    weight: float | Schedule = 10.0

    def term(self, rows: Sequence[Row]) -> Tensor:
        return -(torch.cat([row.probabilities for row in rows]) - 0.5).square().mean()

    def require(self, relaxation: Relaxation) -> None:
        _require(self, relaxation, Sigmoid, "drives the weights of a sigmoid to 0 or 1")


@dataclass(frozen=True)
class KL(Regulariser):
    """R = sum over rows of KL(Dirichlet(c) || Dirichlet(1)), c = elu(alpha) + 1, DrNAS.

        KL = lnG(S) - sum_o lnG(c_o) - lnG(n) + sum_o (c_o - 1) (psi(c_o) - psi(S)),  S = sum_o c_o

    Chen et al., ICLR 2021, arXiv 2006.10355. The published code has the weight 1e-3,
    sums over the edges of both kinds of cells, and has no weight decay of alpha beside it
    (`arc_weight_decay` 0); by default it has that weight decay in place of this term.
    """

    weight: float | Schedule = 1e-3

    def term(self, rows: Sequence[Row]) -> Tensor:
        return torch.stack([_divergence(concentration(row.alpha)) for row in rows]).sum()

    def require(self, relaxation: Relaxation) -> None:
        _require(self, relaxation, Dirichlet, "anchors a Dirichlet distribution")


def _divergence(c: Tensor) -> Tensor:
    """KL(Dirichlet(c) || Dirichlet(1)) of a row."""
    total, n = c.sum(), c.new_tensor(float(len(c)))
    logarithms = total.lgamma() - c.lgamma().sum() - n.lgamma()
    return logarithms + ((c - 1) * (c.digamma() - total.digamma())).sum()


def _require(
    regulariser: Regulariser, relaxation: Relaxation, kind: type[Relaxation], what: str
) -> None:
    if not isinstance(relaxation, kind):
        raise ValueError(
            f"regulariser {type(regulariser).__name__} {what}, and the relaxation is "
            f"{type(relaxation).__name__}; choose relaxation {kind.__name__.lower()}, or leave the "
            "regulariser out"
        )
