"""Mixing weights of one operation that is drawn, with a gradient to all alphas."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nni_darts._common.checks import POSITIVE, choice
from nni_darts._common.schedule import Schedule, as_number, falling, scheduled
from nni_darts.supernet.relaxation import UNSELECTED, OneHot


@dataclass(frozen=True)
class Gumbel(OneHot):
    """h = onehot(k) - stopgrad(p) + p, k = argmax p, GDAS (Dong and Yang, CVPR 2019, 1910.04465).

        p = softmax((alpha + g) / tau),  g = -log E,  E ~ Exp(1)

    k is drawn from softmax(alpha), whatever tau is; by it architectures are ranked. Only operation
    k runs, times h_k, which is 1; the gradient reaches all alphas of its row through p.

    The published code draws again where something is infinite. Here nothing can be: E is at least
    the smallest normal number, and the largest entry is taken off before the division by tau.

    Args:
        tau: temperature, positive, a number or [start, end] that falls and has its end in the last
            epoch, or a schedule.
        unselected: what the weights of the operations not drawn do. "ignored", as in the paper, and
            in the published code of the DARTS space: nothing. "ones", as in the published code of
            NAS-Bench-201: they are added as numbers, of value 0, so that each gets the sum of the
            upstream gradient, as if its operation gave all ones.

    Raises:
        ValueError: an argument is out of its range.
    """

    tau: float | Schedule = (10.0, 0.1)  # type: ignore[assignment]
    unselected: str = "ignored"

    def __post_init__(self) -> None:
        tau = falling("tau", scheduled("tau", self.tau, POSITIVE, reached=True))
        object.__setattr__(self, "tau", tau)
        choice("unselected:", self.unselected, UNSELECTED)

    def weights(self, alpha: Tensor) -> Tensor:
        smallest = torch.finfo(alpha.dtype).tiny
        exponential = torch.empty_like(alpha).exponential_().clamp(min=smallest)
        noisy = alpha - exponential.log()
        largest, k = noisy.detach().max(-1, keepdim=True)
        p = ((noisy - largest) / as_number(self.tau)).softmax(-1)
        hard = torch.zeros_like(p).scatter_(-1, k, 1)
        return hard - p.detach() + p

    def probabilities(self, alpha: Tensor) -> Tensor:
        return alpha.softmax(-1)
