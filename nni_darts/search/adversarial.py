"""Adversarial perturbation: the mixing weights nearby at which the training loss is large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nni_darts._common import limits
from nni_darts._common.checks import size
from nni_darts._common.schedule import Schedule, as_number, scheduled
from nni_darts.search.perturbation import EPSILON, Perturbation, WeightStep, noisy, normalised


@dataclass(frozen=True)
class Adversarial(Perturbation):
    """Steps up the training loss within a box of half-width epsilon round the mixing weights p.

        p_0     = normalised(clamp(p + delta, 0, 1)),      delta ~ U[-epsilon, epsilon]
        q_(t+1) = p_t + (2 epsilon / T) * sign(dp L_train(w, p_t)),      t = 0, ..., T - 1
        p_(t+1) = normalised(clamp(clamp(q_(t+1), p - epsilon, p + epsilon), 0, 1))

    The result is p_T, or p where L_train(w, p_T) < L_train(w, p). SDARTS-ADV (Chen and Hsieh, ICML
    2020, arXiv 2002.05283). The paper projects to the box and the simplex; here, as in its code,
    each step ends with the division by the sum, which may leave the box again. The network is in
    evaluation mode meanwhile: normalisations that keep running statistics use these.

    It costs `steps` gradients and two losses more for each step of the weights.

    Args:
        epsilon: in [0, 2]: a number, [start, end] for start + (end - start) * epoch / epochs, or a
            schedule. Published: [0.03, 0.3].
        steps: T, at least 1. Published: 7.
    """

    epsilon: float | Schedule = (0.03, 0.3)  # type: ignore[assignment]
    steps: int = 7

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", scheduled("epsilon", self.epsilon, EPSILON))
        object.__setattr__(self, "steps", size("steps", self.steps, 1, limits.STEPS))

    def __call__(self, step: WeightStep) -> list[Tensor]:
        # Not under no_grad: autocast would keep copies of the weights without a graph.
        before = step.loss(step.rows).detach()
        rows = noisy(step.rows, as_number(self.epsilon))
        for _ in range(self.steps):
            rows = self._climbed(step, rows)
        fell = step.loss(rows).detach() < before
        # torch.where: nothing waits for the device.
        return [torch.where(fell, p, row) for p, row in zip(step.rows, rows, strict=True)]

    def _climbed(self, step: WeightStep, rows: Sequence[Tensor]) -> list[Tensor]:
        """Rows after one step up the loss."""
        epsilon = as_number(self.epsilon)
        at = [row.detach().requires_grad_() for row in rows]
        slopes = torch.autograd.grad(step.loss(at), at, materialize_grads=True)
        found = []
        for p, row, slope in zip(step.rows, rows, slopes, strict=True):
            q = row + 2 * epsilon / self.steps * slope.sign()
            found.append(normalised(q.clamp(p - epsilon, p + epsilon)))
        return found
