"""Perturbations: mixing weights that a step of the weights sees in place of its alphas' own.

The architect, validation and ranking see the mixing weights themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nni_darts._common.checks import Range
from nni_darts._common.schedule import Schedule, Scheduled, as_number, scheduled
from nni_darts.supernet.mixture import batched

EPSILON = Range("in [0, 2]", lambda x: 0 <= x <= 2)


@dataclass(frozen=True)
class WeightStep:
    """A step of the weights, as a perturbation sees it."""

    rows: Sequence[Tensor]
    """Mixing weights (choices,) of every alpha, detached; drawn for the step where they are."""
    loss: Callable[[Sequence[Tensor]], Tensor]
    """L_train on the batch of the step at other mixing weights, with its graph to them; the network
    is in evaluation mode, and unchanged afterwards."""


class Perturbation(Scheduled, ABC):
    """A way to the mixing weights that a step of the weights sees."""

    @abstractmethod
    def __call__(self, step: WeightStep) -> list[Tensor]:
        """Return mixing weights in place of `step.rows`, of their shapes, detached."""


@dataclass(frozen=True)
class RandomSmoothing(Perturbation):
    """p' = normalised(clamp(p + delta, 0, 1)), delta ~ U[-epsilon, epsilon] for each entry.

    SDARTS-RS (Chen and Hsieh, ICML 2020, arXiv 2002.05283). Where the clamp empties a row, its
    largest entry before the clamp becomes 1. Each step draws anew; cells of a kind share the draw.

    Args:
        epsilon: in [0, 2]: a number, [start, end] for start + (end - start) * epoch / epochs, or a
            schedule. Published: [0.03, 0.3].
    """

    epsilon: float | Schedule = (0.03, 0.3)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", scheduled("epsilon", self.epsilon, EPSILON))

    def __call__(self, step: WeightStep) -> list[Tensor]:
        return noisy(step.rows, as_number(self.epsilon))


def noisy(rows: Sequence[Tensor], epsilon: float) -> list[Tensor]:
    """Rows (choices,) plus noise of U[-epsilon, epsilon] for each entry, `normalised`."""
    return batched(lambda p: normalised(p + epsilon * (2 * torch.rand_like(p) - 1)), rows)


def normalised(p: Tensor) -> Tensor:
    """Rows (..., choices) cut to [0, 1] and divided by their sum.

    A row that the cut empties becomes 1 at its largest entry.
    """
    cut = p.clamp(0, 1)
    largest = torch.zeros_like(p).scatter_(-1, p.argmax(-1, keepdim=True), 1)
    cut = torch.where(cut.sum(-1, keepdim=True) > 0, cut, largest)
    return cut / cut.sum(-1, keepdim=True)
