"""The architect: gradients of L_val in alpha, each way to them a class over one `BilevelStep`.

Equations of DARTS (Liu et al., ICLR 2019, arXiv 1806.09055), section 2.3:

    Eq. 6   min_alpha  L_val(w', alpha),       w' = w - xi * dw L_train(w, alpha)
    Eq. 7   g = dalpha L_val(w', alpha) - xi * H,
            H = d2_{alpha,w} L_train(w, alpha) . v,       v = dw' L_val(w', alpha)
    Eq. 8   H ~ (dalpha L_train(w+, alpha) - dalpha L_train(w-, alpha)) / (2 epsilon),
            w+- = w +- epsilon * v,       epsilon = 0.01 / ||v||_2

The virtual step is the one that the weight optimiser is about to take (see `virtual_step`). The
published method is that of SGD, with its momentum and weight decay. Adam's w' is no line in dw
L_train; xi is its slope there, and every element of w has its own. Where the step is clipped, as
for recurrent cells, gamma * dw L_train stands for dw L_train in w':

    gamma = min(1, C / ||dw L_train||_2),      dw'/dalpha = -xi * gamma * d2_{w,alpha} L_train
                                                            - xi * dw L_train * dalpha gamma

`FiniteDifference` takes gamma for a constant, as the reference does: the implicit term is then
xi * gamma * H. `Exact` has the second line too: what g points along is clipped off again. Two
things that the reference does in recurrent searches follow from no equation and are left out: it
scales the implicit term by min(1, C / ||v||_2) too, and its virtual step leaves an embedding that
the decoder shares where it was (loading w' by name writes the old decoder over it).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from nni_darts._common.checks import CLIP, number
from nni_darts.search.bilevel_step import BilevelStep, derivatives
from nni_darts.search.twice_differentiable import differentiated_twice
from nni_darts.search.virtual_step import clipped, require_followable, step_sizes, virtual_step


class Hypergradient(ABC):
    """A way to the gradient of L_val in alpha; its options are its fields."""

    @abstractmethod
    def __call__(self, step: BilevelStep) -> tuple[Tensor, ...]:
        """Return dL_val / dalpha, one tensor of its shape per alpha, detached.

        Raises:
            TypeError: the optimiser's step cannot be followed.
            ValueError: a weight is not held by the optimiser.
        """

    def require(self, optimizer: Optimizer) -> None:  # noqa: B027
        """Raise TypeError before a search for a weight optimiser that cannot be followed."""


@dataclass(frozen=True)
class FirstOrder(Hypergradient):
    """Eq. 6 with xi = 0: g = dalpha L_val(w, alpha), by any weight optimiser."""

    def __call__(self, step: BilevelStep) -> tuple[Tensor, ...]:
        with step.passes() as run, step.constant_weights():
            return derivatives(run(step.val_loss), step.alphas)


class Unrolled(Hypergradient):
    """A hypergradient through the coming step of SGD, Adam or AdamW."""

    clip: float | None
    """The norm that the gradient of the step is clipped to, positive; None for no clipping."""

    def __post_init__(self) -> None:
        if self.clip is not None:
            number("clip", self.clip, CLIP)

    def require(self, optimizer: Optimizer) -> None:
        require_followable(optimizer)


@dataclass(frozen=True)
class FiniteDifference(Unrolled):
    """Eq. 7 with H by the central difference of Eq. 8, as published.

    Where the loss has kinks (ReLU, max pooling) within epsilon of w, the difference is not close to
    the derivative; `Exact` is. Peak memory is that of one pass plus three copies of the weights.
    """

    clip: float | None = None

    def __call__(self, step: BilevelStep) -> tuple[Tensor, ...]:
        weights, alphas, optimizer = step.weights, step.alphas, step.optimizer
        with step.passes() as run:
            w = [weight.data for weight in weights]
            gradients = torch.autograd.grad(run(step.train_loss), weights, allow_unused=True)
            with torch.no_grad():
                g, gamma = clipped(gradients, self.clip)
                w_prime = virtual_step(weights, g, optimizer)
            # Eq. 7 has one xi; with parameter groups each weight has its own, |c| <= xi, and with
            # Adam each element. H is linear in v, which is scaled by what c is beyond xi.
            c = step_sizes(weights, g, optimizer)
            numbers = [c_ for c_ in c if not isinstance(c_, Tensor)]
            xi = max(map(abs, numbers)) if len(numbers) == len(c) else 1.0
            step.put([w_.detach() for w_ in w_prime])
            del gradients, g, w_prime
            both = derivatives(run(step.val_loss), [*alphas, *weights])
            dalpha, v = both[: len(alphas)], both[len(alphas) :]
            del both
            if xi == 0:  # w' = w: nothing is unrolled
                return dalpha
            v = tuple(
                v_ * (c_ / xi) if isinstance(c_, Tensor) or c_ != xi else v_
                for v_, c_ in zip(v, c, strict=True)
            )
            norm = torch.stack(torch._foreach_norm(v)).norm()
            # v = 0 makes epsilon infinite and means H = 0; no branch, so that no device is waited
            # for.
            epsilon = torch.where(norm > 0, 0.01 / norm, torch.zeros_like(norm))
            shift = [
                s.to(w_.dtype) for s, w_ in zip(torch._foreach_mul(v, epsilon), w, strict=True)
            ]
            with step.constant_weights():
                step.put(torch._foreach_add(w, shift))
                positive = derivatives(run(step.train_loss), alphas)
                step.put(torch._foreach_sub(w, shift))
                negative = derivatives(run(step.train_loss), alphas)
            H = [
                torch.where(norm > 0, (p - n) / (2 * epsilon), torch.zeros_like(p))
                for p, n in zip(positive, negative, strict=True)
            ]
            return tuple(dalpha_ - xi * gamma * H_ for dalpha_, H_ in zip(dalpha, H, strict=True))


@dataclass(frozen=True)
class Exact(Unrolled):
    """Eq. 7 by double backward through the virtual step.

    The graph of the training gradient is held while L_val is computed at w', which costs memory.
    ValueError for an operation of the network that has no second derivative in torch.
    """

    clip: float | None = None

    def __call__(self, step: BilevelStep) -> tuple[Tensor, ...]:
        weights, alphas = step.weights, step.alphas
        with step.passes() as run, differentiated_twice("exact"):
            w = [weight.data for weight in weights]
            gradients = torch.autograd.grad(
                run(step.train_loss), weights, create_graph=True, allow_unused=True
            )
            g, _ = clipped(gradients, self.clip)
            w_prime = virtual_step(weights, g, step.optimizer)
            step.put([w_.detach() for w_ in w_prime])
            both = derivatives(run(step.val_loss), [*alphas, *weights])
            dalpha, v = both[: len(alphas)], both[len(alphas) :]
            # The graph of the training gradient reads w: it must stand there again.
            step.put(w)
            implicit = derivatives(w_prime, alphas, v)
            return tuple(dalpha_ + i_ for dalpha_, i_ in zip(dalpha, implicit, strict=True))
