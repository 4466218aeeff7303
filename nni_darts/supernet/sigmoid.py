"""Mixing weights that do not compete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nni_darts.supernet.relaxation import Relaxation


@dataclass(frozen=True)
class Sigmoid(Relaxation):
    """p_o = sigmoid(alpha_o), FairDARTS (Chu et al., ECCV 2020, arXiv 1911.12126).

    No choice takes from another's weight, so that no skip connection grows at the others' cost. The
    weights of a row do not sum to 1; architectures are ranked by them as they are. The published
    search drives them to 0 or 1 by the regulariser `ZeroOne`, and keeps of each node at most two
    edges, those above a threshold; here a node keeps its strongest ones, as in DARTS.
    """

    draws: ClassVar[bool] = False

    def weights(self, alpha: Tensor) -> Tensor:
        return alpha.sigmoid()

    def probabilities(self, alpha: Tensor) -> Tensor:
        return alpha.sigmoid()
