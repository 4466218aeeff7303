"""Relaxations: how the alphas of a choice become the weights of its mixture.

    o_bar(x) = sum_o p_o * o(x)        p = softmax(alpha) in DARTS (section 2.2)

What the supernet computes with may be drawn anew in every pass. What architectures are ranked by,
and all that is reported and stored, is never drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nni_darts._common.schedule import Scheduled


class Relaxation(Scheduled, ABC):
    """A way from alphas (..., choices), unnormalised, to weights of the same shape.

    Draws are to come from torch's own generators: all passes of the architect meet the same ones.
    An option may be a schedule; the relaxation that is asked for weights has numbers (`at`).
    """

    draws: ClassVar[bool] = True
    """True if `weights` draws. One that does not is asked for many choices at once."""

    @abstractmethod
    def weights(self, alpha: Tensor) -> Tensor:
        """Weights to mix with, with their graph to alpha; they may be drawn."""

    @abstractmethod
    def probabilities(self, alpha: Tensor) -> Tensor:
        """Weights to rank and report by: the same for the same alpha, and nothing is drawn."""


@dataclass(frozen=True)
class Softmax(Relaxation):
    """p = softmax(alpha), as published."""

    draws: ClassVar[bool] = False

    def weights(self, alpha: Tensor) -> Tensor:
        return alpha.softmax(-1)

    def probabilities(self, alpha: Tensor) -> Tensor:
        return alpha.softmax(-1)


class OneHot(Relaxation, ABC):
    """A relaxation that draws one choice: its weight is 1, and that of the others 0.

    Of a layer of operations, only the one that is drawn is run; the others' parameters then have no
    gradient at all, not one of zero, so that their optimiser passes them by.
    """

    @property
    def unselected(self) -> str:
        """Gradient of the weights that are not drawn, one of `UNSELECTED`."""
        return "ignored"


UNSELECTED = ("ignored", "ones")
"""Gradients of the weights of the operations that are not drawn: none, or that of operations whose
output is all ones."""
