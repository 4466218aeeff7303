"""The architect: gradients of L_val in alpha, through one virtual step of the weights.

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

`finite_difference` takes gamma for a constant, as the reference does: the implicit term is then
xi * gamma * H. `exact` has the second line too: what g points along is clipped off again. Two
things that the reference does in recurrent searches follow from no equation and are left out: it
scales the implicit term by min(1, C / ||v||_2) too, and its virtual step leaves an embedding that
the decoder shares where it was (loading w' by name writes the old decoder over it).

Three functions with one signature give the hypergradient; `HYPERGRADIENTS` names them. The losses
are closures that run a forward pass of the model as it stands. While one of the functions runs, the
weights point to other storage and the buffers are copies; the originals are never written, so that
they are back bit for bit on return, also after an exception. All passes start from one random
state, which is restored too: w+ and w- meet the same dropout masks, those of the real step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nni_darts._common.checks import CLIP, function, instance, number, several
from nni_darts.search import random_state as randomness
from nni_darts.search.twice_differentiable import differentiated_twice
from nni_darts.search.virtual_step import clipped, step_sizes, virtual_step

Loss = Callable[[], Tensor]
"""Runs a forward pass and returns a scalar loss with its graph."""


class Hypergradient(Protocol):
    """What the functions of this module have in common."""

    def __call__(
        self,
        train_loss: Loss,
        val_loss: Loss,
        weights: Sequence[Tensor],
        alphas: Sequence[Tensor],
        optimizer: Optimizer,
        modules: Collection[nn.Module] = (),
        clip: float | None = None,
    ) -> tuple[Tensor, ...]:
        """Return dL_val / dalpha, one tensor of its shape per alpha, detached.

        Args:
            train_loss: L_train(w, alpha) on the batch of the coming weight step.
            val_loss: L_val(w, alpha) on a validation batch.
            weights: w in a fixed order, each a leaf that requires a gradient and is held by
                `optimizer`; disjoint from the alphas.
            alphas: the architecture parameters in a fixed order, leaves that require a gradient.
            optimizer: the weight optimiser, about to step; it is read, never changed.
            modules: the modules whose buffers (batch-norm statistics) the passes must leave alone.
            clip: the norm that the gradient of the virtual step is clipped to, positive; None for
                no clipping. `first_order` takes no virtual step.

        Raises:
            TypeError: the optimiser's step cannot be followed (unrolled variants only).
            ValueError: a weight is not held by the optimiser.
        """
        ...


def first_order(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    optimizer: Optimizer,
    modules: Collection[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Eq. 6 with xi = 0: g = dalpha L_val(w, alpha). See `Hypergradient`."""
    _require(train_loss, val_loss, weights, alphas, optimizer, modules, clip)
    with auxiliary_passes(weights, modules) as run, _constant(weights):
        return _gradients(run(val_loss), alphas)


def finite_difference(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    optimizer: Optimizer,
    modules: Collection[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Eq. 7 with H by the central difference of Eq. 8, as published. See `Hypergradient`.

    Where the loss has kinks (ReLU, max pooling) within epsilon of w, the difference is not close to
    the derivative; `exact` is. Peak memory is that of one pass plus three copies of the weights.
    """
    _require(train_loss, val_loss, weights, alphas, optimizer, modules, clip)
    with auxiliary_passes(weights, modules) as run:
        w = [weight.data for weight in weights]
        gradients = torch.autograd.grad(run(train_loss), weights, allow_unused=True)
        with torch.no_grad():
            g, gamma = clipped(gradients, clip)
            w_prime = virtual_step(weights, g, optimizer)
        # Eq. 7 has one xi; with parameter groups each weight has its own, |c| <= xi, and with Adam
        # each element. H is linear in v, which is scaled by what c is beyond xi.
        c = step_sizes(weights, g, optimizer)
        numbers = [c_ for c_ in c if not isinstance(c_, Tensor)]
        xi = max(map(abs, numbers)) if len(numbers) == len(c) else 1.0
        _point(weights, [w_.detach() for w_ in w_prime])
        del gradients, g, w_prime
        both = _gradients(run(val_loss), [*alphas, *weights])
        dalpha, v = both[: len(alphas)], both[len(alphas) :]
        del both
        if xi == 0:  # w' = w: nothing is unrolled
            return dalpha
        v = tuple(
            v_ * (c_ / xi) if isinstance(c_, Tensor) or c_ != xi else v_
            for v_, c_ in zip(v, c, strict=True)
        )
        norm = torch.stack(torch._foreach_norm(v)).norm()
        # v = 0 makes epsilon infinite and means H = 0; no branch, so that no device is waited for.
        epsilon = torch.where(norm > 0, 0.01 / norm, torch.zeros_like(norm))
        step = [s.to(w_.dtype) for s, w_ in zip(torch._foreach_mul(v, epsilon), w, strict=True)]
        with _constant(weights):
            _point(weights, torch._foreach_add(w, step))
            positive = _gradients(run(train_loss), alphas)
            _point(weights, torch._foreach_sub(w, step))
            negative = _gradients(run(train_loss), alphas)
        H = [
            torch.where(norm > 0, (p - n) / (2 * epsilon), torch.zeros_like(p))
            for p, n in zip(positive, negative, strict=True)
        ]
        return tuple(dalpha_ - xi * gamma * H_ for dalpha_, H_ in zip(dalpha, H, strict=True))


def exact(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    optimizer: Optimizer,
    modules: Collection[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Eq. 7 by double backward through the virtual step. See `Hypergradient`.

    The graph of the training gradient is held while L_val is computed at w', which costs memory.

    Raises:
        ValueError: an operation of the network has no second derivative in torch.
    """
    _require(train_loss, val_loss, weights, alphas, optimizer, modules, clip)
    with auxiliary_passes(weights, modules) as run, differentiated_twice():
        w = [weight.data for weight in weights]
        gradients = torch.autograd.grad(
            run(train_loss), weights, create_graph=True, allow_unused=True
        )
        g, _ = clipped(gradients, clip)
        w_prime = virtual_step(weights, g, optimizer)
        _point(weights, [w_.detach() for w_ in w_prime])
        both = _gradients(run(val_loss), [*alphas, *weights])
        dalpha, v = both[: len(alphas)], both[len(alphas) :]
        # The graph of the training gradient reads w: it must stand there again.
        _point(weights, w)
        implicit = _gradients(w_prime, alphas, v)
        return tuple(dalpha_ + i_ for dalpha_, i_ in zip(dalpha, implicit, strict=True))


HYPERGRADIENTS: Mapping[str, Hypergradient] = {
    "finite_difference": finite_difference,
    "exact": exact,
    "first_order": first_order,
}


def _require(
    train_loss: object,
    val_loss: object,
    weights: object,
    alphas: object,
    optimizer: object,
    modules: object,
    clip: object,
) -> None:
    """Raise TypeError or ValueError for an argument of another kind."""
    function("train_loss", train_loss)
    function("val_loss", val_loss)
    several("weights", weights, Tensor, "tensors")
    several("alphas", alphas, Tensor, "tensors")
    instance("optimizer", optimizer, Optimizer, "an optimiser of torch")
    several("modules", modules, nn.Module, "modules")
    if clip is not None:
        number("clip", clip, CLIP)


@contextmanager
def auxiliary_passes(
    weights: Sequence[Tensor], modules: Collection[nn.Module]
) -> Iterator[Callable[[Loss], Tensor]]:
    """Lend out the weights, buffers and random state; on leaving they are as on entry.

    Yields a function that evaluates a closure from the buffers and the random state of the entry.
    """
    originals = [weight.data for weight in weights]
    slots = [
        (module._buffers, name, buffer)
        for root in modules
        for module in root.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    random_state = randomness.get_state()

    def run(loss: Loss) -> Tensor:
        copies = {id(buffer): buffer.clone() for _, _, buffer in slots}
        for buffers, name, buffer in slots:
            buffers[name] = copies[id(buffer)]
        randomness.set_state(random_state)
        return loss()

    try:
        yield run
    finally:
        _point(weights, originals)
        for buffers, name, buffer in slots:
            buffers[name] = buffer
        randomness.set_state(random_state)


@contextmanager
def _constant(weights: Sequence[Tensor]) -> Iterator[None]:
    """Within, nothing is kept or computed for gradients of the weights."""
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _point(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Let each weight stand for other storage; what it stood for before is not written."""
    for weight, value in zip(weights, values, strict=True):
        weight.data = value
    # Autocast keeps low-precision copies of the weights, which would now be those of before.
    torch.clear_autocast_cache()


def _gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs: Sequence[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """First derivatives; zero where an input was not used."""
    if not isinstance(outputs, Tensor):
        assert grad_outputs is not None
        pairs = [(o, g) for o, g in zip(outputs, grad_outputs, strict=True) if o.grad_fn]
        outputs, grad_outputs = [o for o, _ in pairs], [g for _, g in pairs]
    if not (outputs.requires_grad if isinstance(outputs, Tensor) else outputs):
        return tuple(torch.zeros_like(i) for i in inputs)
    found = torch.autograd.grad(outputs, inputs, grad_outputs, allow_unused=True)
    return tuple(
        torch.zeros_like(i) if g is None else g.detach() for i, g in zip(inputs, found, strict=True)
    )
