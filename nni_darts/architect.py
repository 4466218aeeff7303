"""The architect: gradients of L_val in alpha, through one virtual step of the weights.

Equations of DARTS (Liu et al., ICLR 2019, arXiv 1806.09055), section 2.3:

    Eq. 6   min_alpha  L_val(w', alpha),       w' = w - xi * dw L_train(w, alpha)
    Eq. 7   g = dalpha L_val(w', alpha) - xi * H,
            H = d2_{alpha,w} L_train(w, alpha) . v,       v = dw' L_val(w', alpha)
    Eq. 8   H ~ (dalpha L_train(w+, alpha) - dalpha L_train(w-, alpha)) / (2 epsilon),
            w+- = w +- epsilon * v,       epsilon = 0.01 / ||v||_2

The virtual step is the one that the weight optimiser is about to take: its learning rate, momentum
and its buffers, dampening, Nesterov's variant and weight decay, in every parameter group. Where the
step is clipped, as for recurrent cells, gamma * dw L_train stands for dw L_train in w':

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

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from nni_darts import randomness
from nni_darts.twice import differentiated_twice

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
        modules: Iterable[nn.Module] = (),
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
    modules: Iterable[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Eq. 6 with xi = 0: g = dalpha L_val(w, alpha). See `Hypergradient`."""
    with auxiliary_passes(weights, modules) as run, _constant(weights):
        return _gradients(run(val_loss), alphas)


def finite_difference(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    optimizer: Optimizer,
    modules: Iterable[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Eq. 7 with H by the central difference of Eq. 8, as published. See `Hypergradient`.

    Where the loss has kinks (ReLU, max pooling) within epsilon of w, the difference is not close to
    the derivative; `exact` is. Peak memory is that of one pass plus three copies of the weights.
    """
    with auxiliary_passes(weights, modules) as run:
        w = [weight.data for weight in weights]
        gradients = torch.autograd.grad(run(train_loss), weights, allow_unused=True)
        # Eq. 7 has one xi; with parameter groups each weight has its own, |c| <= xi.
        c = step_sizes(weights, gradients, optimizer)
        xi = max(map(abs, c))
        with torch.no_grad():
            g, gamma = clipped(gradients, clip)
            w_prime = virtual_step(weights, g, optimizer)
        _point(weights, [w_.detach() for w_ in w_prime])
        del gradients, g, w_prime
        both = _gradients(run(val_loss), [*alphas, *weights])
        dalpha, v = both[: len(alphas)], both[len(alphas) :]
        del both
        if xi == 0:  # w' = w: nothing is unrolled
            return dalpha
        v = tuple(v_ if c_ == xi else v_ * (c_ / xi) for v_, c_ in zip(v, c, strict=True))
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
    modules: Iterable[nn.Module] = (),
    clip: float | None = None,
) -> tuple[Tensor, ...]:
    """Eq. 7 by double backward through the virtual step. See `Hypergradient`.

    The graph of the training gradient is held while L_val is computed at w', which costs memory.

    Raises:
        ValueError: an operation of the network has no second derivative in torch.
    """
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


def clipped(
    gradients: Sequence[Tensor | None], clip: float | None
) -> tuple[Sequence[Tensor | None], Tensor | float]:
    """The gradients times gamma, and gamma, as `torch.nn.utils.clip_grad_norm_`; differentiable."""
    norms = [g.norm() for g in gradients if g is not None]
    if clip is None or not norms:
        return gradients, 1.0
    gamma = (clip / (torch.stack(norms).norm() + 1e-6)).clamp(max=1)
    return [None if g is None else gamma * g for g in gradients], gamma


def virtual_step(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None], optimizer: Optimizer
) -> list[Tensor]:
    """w' as `optimizer` would make it from these gradients; differentiable in them.

    A weight without a gradient stays as it is, as in the optimiser.

    Raises:
        TypeError: the optimiser is not `torch.optim.SGD`.
        ValueError: a weight is not held by the optimiser.
    """
    w_prime = list(weights)
    groups = _groups(weights, optimizer)
    alike: dict[tuple[int, bool], list[int]] = {}
    for i, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        if gradient is not None:
            buffered = _buffer(optimizer.state.get(weight)) is not None
            alike.setdefault((id(groups[i]), buffered), []).append(i)
    for (_, buffered), chosen in alike.items():
        w = [weights[i] for i in chosen]
        g = [cast(Tensor, gradients[i]) for i in chosen]
        buf = [cast(Tensor, _buffer(optimizer.state[w_])) for w_ in w] if buffered else None
        for i, w_ in zip(chosen, _sgd(w, g, groups[chosen[0]], buf), strict=True):
            w_prime[i] = w_
    return w_prime


def step_sizes(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None], optimizer: Optimizer
) -> list[float]:
    """-dw'/dgradient per weight: the xi of Eq. 7. It is the learning rate for plain momentum."""
    sizes = []
    groups = _groups(weights, optimizer)
    for weight, gradient, group in zip(weights, gradients, groups, strict=True):
        if gradient is None:
            sizes.append(0.0)
            continue
        c = -float(group["lr"]) if group["maximize"] else float(group["lr"])
        if mu := group["momentum"]:
            damped = 1.0 if _buffer(optimizer.state.get(weight)) is None else 1 - group["dampening"]
            c *= 1 + mu * damped if group["nesterov"] else damped
        sizes.append(c)
    return sizes


def require_followable(optimizer: Optimizer) -> None:
    """Raise TypeError unless the virtual step can be that of `optimizer`: torch's own SGD."""
    # A subclass (nni.trace makes them) is fine as long as it steps as SGD does.
    same_step = inspect.unwrap(type(optimizer).step) is inspect.unwrap(SGD.step)
    if not (isinstance(optimizer, SGD) and same_step):
        raise TypeError(
            "the unrolled architect follows the step of torch.optim.SGD, "
            f"got the weight optimiser {type(optimizer).__name__}; "
            "train the weights with SGD, or choose hypergradient='first_order'"
        )


def _groups(weights: Sequence[Tensor], optimizer: Optimizer) -> list[dict[str, Any]]:
    require_followable(optimizer)
    group_of = {id(weight): group for group in optimizer.param_groups for weight in group["params"]}
    missing = [tuple(weight.shape) for weight in weights if id(weight) not in group_of]
    if missing:
        raise ValueError(
            f"every weight must be held by the weight optimiser; {len(missing)} of {len(weights)} "
            f"are not (the first has shape {missing[0]}); add them to it or leave them out"
        )
    return [group_of[id(weight)] for weight in weights]


def _buffer(state: Mapping[str, Any] | None) -> Tensor | None:
    buffer: Tensor | None = None if state is None else state.get("momentum_buffer")
    return buffer


def _sgd(
    w: list[Tensor], g: list[Tensor], group: Mapping[str, Any], buf: list[Tensor] | None
) -> list[Tensor]:
    """w' = w - xi * (mu * buf + dw L_train + lambda * w), and its variants in torch.optim.SGD.

    All weights at once (`torch._foreach`), as the optimiser does: there are a thousand small ones.
    """
    d = _list(torch._foreach_neg(g)) if group["maximize"] else g
    if group["weight_decay"]:
        d = _list(torch._foreach_add(d, w, alpha=group["weight_decay"]))
    if mu := group["momentum"]:
        if buf is None:
            buf = d
        else:
            fresh = 1 - group["dampening"]
            buf = _list(torch._foreach_add(torch._foreach_mul(buf, mu), d, alpha=fresh))
        d = _list(torch._foreach_add(d, buf, alpha=mu)) if group["nesterov"] else buf
    return _list(torch._foreach_add(w, d, alpha=-group["lr"]))


def _list(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The stubs leave open which sequence the foreach functions return."""
    return list(tensors)


@contextmanager
def auxiliary_passes(
    weights: Sequence[Tensor], modules: Iterable[nn.Module]
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
