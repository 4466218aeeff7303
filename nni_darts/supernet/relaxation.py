"""Relaxations: how the alphas of a choice become the weights of its mixture.

    o_bar(x) = sum_o p_o * o(x)        p = softmax(alpha) in DARTS (section 2.2)

What the supernet computes with may be drawn anew in every pass. What architectures are ranked by,
and all that is reported and stored, is never drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn


class Relaxation(ABC):
    """A way from alphas (..., choices), unnormalised, to weights of the same shape.

    Draws are to come from torch's own generators: all passes of the architect meet the same ones.
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


class MixingWeights(nn.Module):
    """A relaxation where NNI's mixed modules have a softmax."""

    def __init__(self, relaxation: Relaxation) -> None:
        super().__init__()
        self.relaxation = relaxation

    def forward(self, alpha: Tensor) -> Tensor:
        return self.relaxation.weights(alpha)

    def extra_repr(self) -> str:
        return repr(self.relaxation)


def relax(supernet: nn.Module, relaxation: Relaxation) -> None:
    """Let the mixed modules of a supernet ask the relaxation for their weights.

    What somebody has put in the place of NNI's own softmax is left there.
    """
    for module in list[Any](supernet.modules()):
        if type(getattr(module, "_softmax", None)) is nn.Softmax:
            module._softmax = MixingWeights(relaxation)


def probabilities(mixed: Any, alpha: Tensor) -> Tensor:
    """Weights to rank and report by, of alphas of a mixed module."""
    softmax = mixed._softmax
    if isinstance(softmax, MixingWeights):
        return softmax.relaxation.probabilities(alpha)
    return cast(Tensor, softmax(alpha))


def together(layers: Sequence[Any]) -> bool:
    """True if the weights of layers may be computed at once: one relaxation that does not draw."""
    softmaxes = [layer._softmax for layer in layers]
    return all(type(softmax) is MixingWeights for softmax in softmaxes) and all(
        softmax.relaxation is softmaxes[0].relaxation and not softmax.relaxation.draws
        for softmax in softmaxes
    )


def weights_in_turn(layers: Sequence[Any], turns: Sequence[int]) -> Tensor:
    """The weights (layers, choices), asked for one by one in the order of `turns`."""
    rows = {i: layers[i]._softmax(layers[i]._arch_alpha) for i in turns}
    return torch.stack([rows[i] for i in range(len(layers))])


def weights_at_once(layers: Sequence[Any]) -> Tensor:
    """The weights (layers, choices) of layers that are `together`."""
    alphas = torch.stack([layer._arch_alpha for layer in layers])
    return cast(Relaxation, layers[0]._softmax.relaxation).weights(alphas)
