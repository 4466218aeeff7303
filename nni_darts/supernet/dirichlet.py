"""Mixing weights drawn from a Dirichlet distribution that is learnt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Dirichlet as Distribution

from nni_darts.supernet.relaxation import Relaxation


@dataclass(frozen=True)
class Dirichlet(Relaxation):
    """p ~ Dirichlet(c), c = elu(alpha) + 1, DrNAS (Chen et al., ICLR 2021, arXiv 2006.10355).

    The gradient goes through the draw (pathwise): torch's, which is an approximation, off by up to
    1e-3 of its largest entry. It has no second derivative, and no hypergradient asks for one.
    Architectures are ranked by softmax(alpha), as in the published code; the mean of the
    distribution, c / sum c, has the same order within an edge, but not between edges.

    The paper holds c near 1, which is alpha = 0: as published by the weight decay of alpha, or by
    the regulariser `KL`.
    """

    def weights(self, alpha: Tensor) -> Tensor:
        if alpha.shape[-1] == 1:  # a distribution of one value has no density
            return alpha.softmax(-1)
        drawn: Tensor = Distribution(concentration(alpha), validate_args=False).rsample()
        return drawn

    def probabilities(self, alpha: Tensor) -> Tensor:
        return alpha.softmax(-1)


def concentration(alpha: Tensor) -> Tensor:
    """c = elu(alpha) + 1, positive also where the sum would round to 0."""
    below = torch.where(alpha > 0, torch.zeros_like(alpha), alpha)  # exp must not overflow
    return torch.where(alpha > 0, alpha + 1, below.exp())
