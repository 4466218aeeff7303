"""The step that the weight optimiser is about to take, as a function of the gradients.

The step is that of torch's SGD, Adam or AdamW with all that they can do: the learning rate of the
moment, the buffers, weight decay, coupled or not, in every parameter group. Optimisers that step in
another way are refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

__all__ = ["clipped", "require_followable", "step_sizes", "virtual_step"]

_Entries: TypeAlias = Mapping[str, Any]


class _Rule(Protocol):
    """Update rule of the weights of one group; their states have the same entries, or none."""

    def __call__(
        self, w: list[Tensor], g: list[Tensor], group: _Entries, states: list[_Entries]
    ) -> list[Tensor]: ...


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
        TypeError: the optimiser's step cannot be followed.
        ValueError: a weight is not held by the optimiser.
    """
    rule = _rule(optimizer)
    w_prime = list(weights)
    groups = _groups(weights, optimizer)
    states = [_state(weight, optimizer) for weight in weights]
    alike: dict[tuple[int, frozenset[str]], list[int]] = {}
    for i, gradient in enumerate(gradients):
        if gradient is not None:
            alike.setdefault((id(groups[i]), frozenset(states[i])), []).append(i)
    for chosen in alike.values():
        w = [weights[i] for i in chosen]
        g = [cast(Tensor, gradients[i]) for i in chosen]
        stepped = rule(w, g, groups[chosen[0]], [states[i] for i in chosen])
        for i, w_ in zip(chosen, stepped, strict=True):
            w_prime[i] = w_
    return w_prime


def step_sizes(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None], optimizer: Optimizer
) -> list[float | Tensor]:
    """Step sizes -dw'/dgradient per weight: the xi of Eq. 7.

    A number for SGD, the learning rate where its momentum is plain. Adam's step is not linear in
    the gradient: its xi has the weight's shape, and is that at these gradients.
    """
    if _rule(optimizer) is _sgd:
        sizes = zip(weights, gradients, _groups(weights, optimizer), strict=True)
        return [_sgd_size(_state(w, optimizer), g, group) for w, g, group in sizes]
    at = [None if g is None else g.detach().requires_grad_() for g in gradients]
    with torch.enable_grad():
        w_prime = virtual_step(weights, at, optimizer)
    found: list[float | Tensor] = [0.0] * len(at)
    used = [i for i, g in enumerate(at) if g is not None]
    if not used:
        return found
    ends = [w_prime[i] for i in used]
    ones = [torch.ones_like(w_) for w_ in ends]
    slopes = torch.autograd.grad(ends, [cast(Tensor, at[i]) for i in used], ones)
    for i, slope in zip(used, slopes, strict=True):
        found[i] = -slope
    return found


def require_followable(optimizer: Optimizer) -> None:
    """Raise TypeError unless the virtual step can be that of `optimizer`."""
    _rule(optimizer)


def _rule(optimizer: Optimizer) -> _Rule:
    # A subclass (nni.trace makes them) is fine as long as it steps as its base does.
    step = inspect.unwrap(type(optimizer).step)
    for base, rule in _RULES.items():
        if isinstance(optimizer, base) and step is inspect.unwrap(base.step):
            return rule
    raise TypeError(
        "the unrolled architect follows the step of torch.optim.SGD, Adam and AdamW, "
        f"got the weight optimiser {type(optimizer).__name__}; "
        "train the weights with one of these, or choose hypergradient='first_order'"
    )


def _groups(weights: Sequence[Tensor], optimizer: Optimizer) -> list[dict[str, Any]]:
    group_of = {id(weight): group for group in optimizer.param_groups for weight in group["params"]}
    missing = [tuple(weight.shape) for weight in weights if id(weight) not in group_of]
    if missing:
        raise ValueError(
            f"every weight must be held by the weight optimiser; {len(missing)} of {len(weights)} "
            f"are not (the first has shape {missing[0]}); add them to it or leave them out"
        )
    return [group_of[id(weight)] for weight in weights]


def _state(weight: Tensor, optimizer: Optimizer) -> _Entries:
    """State that the optimiser has kept for the weight so far."""
    state = optimizer.state.get(weight, {})
    return {name: value for name, value in state.items() if value is not None}


# The rules. All weights at once (`torch._foreach_add_` and its like), as the optimisers do: there
# are a thousand small ones.


def _sgd(w: list[Tensor], g: list[Tensor], group: _Entries, states: list[_Entries]) -> list[Tensor]:
    """w' = w - xi * (mu * buf + dw L_train + lambda * w), and its variants in torch.optim.SGD."""
    d = _list(torch._foreach_neg(g)) if group["maximize"] else g
    if group["weight_decay"]:
        d = _list(torch._foreach_add(d, w, alpha=group["weight_decay"]))
    if mu := group["momentum"]:
        buf = d
        if "momentum_buffer" in states[0]:
            old = [state["momentum_buffer"] for state in states]
            fresh = 1 - group["dampening"]
            buf = _list(torch._foreach_add(torch._foreach_mul(old, mu), d, alpha=fresh))
        d = _list(torch._foreach_add(d, buf, alpha=mu)) if group["nesterov"] else buf
    return _list(torch._foreach_add(w, d, alpha=-group["lr"]))


def _sgd_size(state: _Entries, gradient: Tensor | None, group: _Entries) -> float:
    if gradient is None:
        return 0.0
    c = -float(group["lr"]) if group["maximize"] else float(group["lr"])
    if mu := group["momentum"]:
        damped = 1 - group["dampening"] if "momentum_buffer" in state else 1.0
        c *= 1 + mu * damped if group["nesterov"] else damped
    return c


def _adam(
    w: list[Tensor], g: list[Tensor], group: _Entries, states: list[_Entries]
) -> list[Tensor]:
    """w' = w - xi * m^ / (sqrt(v^) + epsilon), and its variants in torch.optim.Adam and AdamW.

    m = beta_1 m + (1 - beta_1) d,  v = beta_2 v + (1 - beta_2) d^2,  m^ and v^ without their bias.
    """
    beta_1, beta_2 = group["betas"]
    xi, decay = _number(group["lr"]), group["weight_decay"]
    d = _list(torch._foreach_neg(g)) if group["maximize"] else g
    if decay and group.get("decoupled_weight_decay", False):
        w = _list(torch._foreach_mul(w, 1 - xi * decay))
    elif decay:
        d = _list(torch._foreach_add(d, w, alpha=decay))
    m = torch._foreach_add(
        torch._foreach_mul(_kept(states, "exp_avg", d), beta_1), d, alpha=1 - beta_1
    )
    v = _list(
        torch._foreach_add(
            torch._foreach_mul(_kept(states, "exp_avg_sq", d), beta_2),
            torch._foreach_mul(d, d),
            alpha=1 - beta_2,
        )
    )
    if group["amsgrad"]:
        v = _list(torch._foreach_maximum(_kept(states, "max_exp_avg_sq", d), v))
    steps = [_number(state.get("step", 0)) + 1 for state in states]
    root = torch._foreach_div(_roots(v), [(1 - beta_2**t) ** 0.5 for t in steps])
    update = torch._foreach_div(m, torch._foreach_add(root, group["eps"]))
    size = [xi / (1 - beta_1**t) for t in steps]
    return _list(torch._foreach_sub(w, torch._foreach_mul(update, size)))


def _decoupled_adam(
    w: list[Tensor], g: list[Tensor], group: _Entries, states: list[_Entries]
) -> list[Tensor]:
    # Before torch 2.7 an AdamW does not say so in its groups.
    return _adam(w, g, {**group, "decoupled_weight_decay": True}, states)


_RULES: Mapping[type[Optimizer], _Rule] = {SGD: _sgd, AdamW: _decoupled_adam, Adam: _adam}


def _kept(states: list[_Entries], name: str, like: list[Tensor]) -> list[Tensor]:
    if name in states[0]:
        return [state[name] for state in states]
    return [torch.zeros_like(tensor) for tensor in like]


def _roots(v: list[Tensor]) -> list[Tensor]:
    """sqrt(v), with the derivative 0 at v = 0, where m^ / sqrt(v^) alone would have none."""
    if not any(v_.requires_grad for v_ in v):
        return _list(torch._foreach_sqrt(v))
    return [torch.where(v_ > 0, torch.where(v_ > 0, v_, 1).sqrt(), 0) for v_ in v]


def _number(value: float | Tensor) -> Any:
    """A float, unless a device would have to be waited for."""
    return value if isinstance(value, Tensor) and value.device.type != "cpu" else float(value)


def _list(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors as a list: the stubs leave open which sequence the foreach functions return."""
    return list(tensors)
