"""Implicit differentiation: the inverse Hessian as a truncated Neumann series.

Lorraine, Vicol, Duvenaud, Optimizing Millions of Hyperparameters by Implicit Differentiation,
AISTATS 2020, arXiv 1911.02590. At a minimum w = w*(alpha) of L_train, with H = d2_w L_train,

    Theorem 1   g = dalpha L_val(w, alpha) - d2_{alpha,w} L_train(w, alpha) . H^-1 v,
                v = dw L_val(w, alpha)
    Theorem 2   H^-1 = lim eta * sum_{k <= K} (I - eta H)^k,     K -> infinity

The limit is there if all eigenvalues of H are in (0, 2 / eta). The sum is what K + 1 steps of
gradient descent from w* make of v, and their Algorithm 3 computes it. K = 0 has eta times the
identity for H^-1, the T1-T2 of Luketina et al. (ICML 2016, arXiv 1511.06727): that is Eq. 7 of
DARTS but for L_val, which is taken at w here, and not at w'.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nni_darts._common import limits
from nni_darts._common.checks import size
from nni_darts.search.bilevel_step import BilevelStep, derivatives
from nni_darts.search.hypergradient import Unrolled
from nni_darts.search.twice_differentiable import differentiated_twice
from nni_darts.search.virtual_step import clipped, virtual_step


@dataclass(frozen=True)
class Neumann(Unrolled):
    """g = dalpha L_val - eta * d2_{alpha,w} L_train . sum_{k <= terms} (I - eta H)^k v, at w.

    eta is the learning rate of the coming weight step. With Phi that step, w' = Phi(w, alpha), and
    its transposed derivatives, I - eta H = dPhi/dw and -eta * d2_{alpha,w} L_train = dPhi/dalpha:

        g = dalpha L_val + sum_{k <= terms} (dPhi/dalpha) (dPhi/dw)^k v

    so that weight decay is in H, each parameter group has its own eta, a clip makes it gamma * eta
    (gamma a constant, as in `FiniteDifference`), and Adam and AdamW scale each element as in their
    step. The buffers of momentum are constants. Only SGD is covered by the theorem above.

    Each term takes one more backward pass through the graph of the training gradient, which is held
    meanwhile. ValueError for an operation that has no second derivative in torch.

    Args:
        terms: K, the terms after the first, at least 0.
        clip: the norm that the gradient of the weight step is clipped to, positive; None for no
            clipping.
    """

    terms: int = 3
    clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        size("terms", self.terms, 0, limits.STEPS)

    def __call__(self, step: BilevelStep) -> tuple[Tensor, ...]:
        weights, alphas = step.weights, step.alphas
        with step.passes() as run, differentiated_twice("neumann"):
            gradients = torch.autograd.grad(
                run(step.train_loss), weights, create_graph=True, allow_unused=True
            )
            with torch.no_grad():
                _, gamma = clipped(gradients, self.clip)
            g = [None if g_ is None else gamma * g_ for g_ in gradients]
            w_prime = virtual_step(weights, g, step.optimizer)
            both = derivatives(run(step.val_loss), [*alphas, *weights])
            total, v = both[: len(alphas)], both[len(alphas) :]
            for k in range(self.terms + 1):
                both = derivatives(w_prime, [*alphas, *weights], v, again=k < self.terms)
                total = tuple(torch._foreach_add(total, both[: len(alphas)]))
                v = both[len(alphas) :]
            return total
