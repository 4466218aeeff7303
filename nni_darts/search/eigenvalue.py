"""The largest eigenvalue of the Hessian of L_val in alpha, by which Robust-DARTS tells a collapse.

    H = d2_alpha L_val(w, alpha)  at fixed w,      max eig(H), not max |eig(H)|

(Zela et al., ICLR 2020, arXiv 1909.09656, section 3.) H is not formed: the method of Lanczos needs
products H v alone, each a backward pass through the graph of dalpha L_val. The network is the one
that the architect sees: in training mode, with the statistics of the batch. The released code has
alpha's weight decay in H, which adds that constant to every eigenvalue; here, as in the paper, H is
of the loss alone, without regularisers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nni_darts._common import limits
from nni_darts._common.checks import POSITIVE, number, size
from nni_darts.search.bilevel_step import BilevelStep, derivatives
from nni_darts.search.twice_differentiable import differentiated_twice

__all__ = ["Eigenvalue", "largest"]

_SEED = 0


@dataclass(frozen=True)
class Eigenvalue:
    """Measurement of the largest eigenvalue of d2_alpha L_val at the end of an epoch.

    Costs one pass with its graph, of all batches together, and a second derivative for every
    product; the memory is that of `exact` without its virtual step.

    Args:
        batches: validation batches that L_val is the mean of, the last ones of the epoch; the
            paper has one, and values of one are noisy.
        every: epochs from one measurement to the next.
        tolerance: residual ||H v - theta v||, as a share of the largest |eigenvalue| found, at
            which the value is taken.
        products: highest number of products H v; what is found with the last of them is taken, and
            is never too large.
    """

    batches: int = 1
    every: int = 1
    tolerance: float = 1e-3
    products: int = 50

    def __post_init__(self) -> None:
        size("batches", self.batches, 1, limits.BATCH_SIZE)
        size("every", self.every, 1, limits.EPOCHS)
        number("tolerance", self.tolerance, POSITIVE)
        size("products", self.products, 1, limits.STEPS)

    def due(self, epoch: int) -> bool:
        """True if an epoch, counted from 0, ends with a measurement."""
        return (epoch + 1) % self.every == 0

    def __call__(self, step: BilevelStep) -> float:
        """Return the eigenvalue at the weights and alphas of a step; NaN where H is not finite.

        Nothing is changed: neither buffers nor gradients nor the random state. One pass makes the
        graph of all products, so that they see the same draws.

        Raises:
            ValueError: an operation of the network has no second derivative in torch.
        """
        alphas = step.alphas
        twice = differentiated_twice("the eigenvalue", "leave out eigenvalue")
        with step.passes() as run, step.constant_weights(), twice:
            loss = run(step.val_loss)
            first = torch.autograd.grad(loss, alphas, create_graph=True, allow_unused=True)
            used = [i for i, g in enumerate(first) if g is not None]
            gradients = [g for g in first if g is not None]

            def product(v: Tensor) -> Tensor:
                parts = [
                    part.view_as(alpha).to(alpha)
                    for part, alpha in zip(
                        v.split([alpha.numel() for alpha in alphas]), alphas, strict=True
                    )
                ]
                found = derivatives(gradients, alphas, [parts[i] for i in used], again=True)
                return torch.cat([part.reshape(-1).double().cpu() for part in found])

            count = sum(alpha.numel() for alpha in alphas)
            return largest(product, count, self.tolerance, self.products)


def largest(
    product: Callable[[Tensor], Tensor], count: int, tolerance: float, products: int
) -> float:
    """The largest eigenvalue of a symmetric matrix, by the method of Lanczos.

    Args:
        product: v -> H v, both (count,) in float64 on the CPU.
        count: rows of the matrix.
        tolerance: of the residual, as a share of the largest |eigenvalue| found.
        products: highest number of products.
    """
    draws = torch.Generator().manual_seed(_SEED)
    v = torch.randn(count, generator=draws, dtype=torch.float64)
    basis = (v / v.norm())[None]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        z = product(basis[-1])
        diagonal.append(float(basis[-1] @ z))
        # Against all, and twice: in floating point three terms do not stay orthogonal.
        for _ in range(2):
            z = z - basis.T @ (basis @ z)
        norm = float(z.norm())
        if not math.isfinite(norm):
            return math.nan
        off = torch.tensor(beside, dtype=torch.float64)
        small = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        values, vectors = torch.linalg.eigh(small + off.diag(1) + off.diag(-1))
        residual = norm * abs(float(vectors[-1, -1]))
        close = residual <= tolerance * float(values.abs().max())
        if close or len(diagonal) == min(products, count):
            return float(values[-1])
        beside.append(norm)
        basis = torch.cat([basis, (z / norm)[None]])
