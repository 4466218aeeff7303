"""Runs a cell of the supernet by its plan: the sum of section 2.2, in another order.

    x_t = sum_{s < t} sum_o p_(s,t),o * o(x_s)        p of the relaxation, softmax(alpha)

Where edges have weights b, p is p_(s,t),o * b_(s,t). With partial channels x_s is what operations
see of it, and `nni_darts.supernet.fused.bypass` has the rest.

All edges that leave a state s run together. What hangs on x_s alone (ReLU, pools, their
normalisation) is computed once; the convolutions of k edges are one with k times the channels; and
p scales the last normalisation: norm(y) * p is the normalisation with the affine weight p.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from nni.nas.nn.pytorch import MutableModule
from nni.nas.nn.pytorch.base import recursive_freeze
from torch import Tensor, nn
from torch.nn import functional as F

from nni_darts.supernet.drawn import all_drawn
from nni_darts.supernet.fused import layout
from nni_darts.supernet.fused.bypass import Bypass
from nni_darts.supernet.fused.drawn import run_drawn
from nni_darts.supernet.fused.operations import Runs, norm, reduced
from nni_darts.supernet.fused.plan import (
    Chains,
    Features,
    Plan,
    Reductions,
    Shape,
    Source,
    make_plan,
)
from nni_darts.supernet.fused.watch import hooked
from nni_darts.supernet.mixture import together, weights_at_once, weights_in_turn
from nni_darts.supernet.nodes import Nodes


class FusedNodes(Nodes, MutableModule):
    """Nodes of a cell, with the same children, parameters and names, fused as long as they can.

    It is what `fuse` makes of `Nodes` in their place, so that whoever knew them knows it. Where
    something was put on or replaced since the last pass it is planned anew.
    """

    _plan: Plan | None = None

    def run(self, states: Sequence[Tensor]) -> list[Tensor]:
        images = all(state.dim() == 4 for state in states)
        if not images or len({state.shape[1] for state in states}) > 1:
            return super().run(states)
        if self._plan is None or not self._plan.watch.unchanged():
            self._plan = make_plan(self)
        plan = self._plan
        if plan is None or (plan.partial and plan.partial.channels != states[0].shape[1]):
            return super().run(states)
        if (drawn := all_drawn(plan.layers)) is None:
            return run(plan, states)
        return run_drawn(plan, states, drawn) if plan.sums_operations else super().run(states)

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Freeze to plain `Nodes`, with what was set on these."""
        plain = copy.copy(self)
        plain.__class__ = Nodes  # type: ignore[assignment]
        return recursive_freeze(plain, sample, include_root=False)[0]

    def __getstate__(self) -> dict[str, Any]:
        """State without the plan: a copy makes its own."""
        return {name: value for name, value in vars(self).items() if name != "_plan"}


def run(plan: Plan, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The states (N, C, H, W) of a cell: its inputs, then its nodes."""
    weights, b = mixing_weights(plan), edge_weights(plan)
    p = (weights if b is None else weights * b.unsqueeze(1)).unbind(1)
    bypass = None if plan.partial is None else Bypass(plan.partial)
    channels = inputs[0].shape[1] // (1 if plan.partial is None else plan.partial.k)
    mixtures = _per_source(plan, p, lambda source: source.features)
    scales = _per_source(
        plan,
        [row.unsqueeze(-1).expand(-1, channels) for row in p],
        lambda source: [*source.chains, *source.reductions],
    )
    kernels = plan.kernels.joined()
    states = [layout.channels_last(x) for x in inputs]
    seen: list[Tensor] = []  # of each state, by the operations
    total: dict[int, Tensor] = {}

    def complete(target: int) -> None:
        x = _complete(plan, target, total, p, seen)
        states.append(layout.channels_last(x if bypass is None else bypass.join(target, x)))

    for s, source in enumerate(plan.sources):
        if s == len(states):
            complete(s)
        x = states[s]
        if bypass is not None:
            last = source.first + len(source.targets)
            of_edges = None if b is None else b[source.first : last].unbind()
            x = layout.channels_last(bypass.split(s, x, source.targets, of_edges))
        seen.append(x)
        contributions = _contributions(source, x, mixtures[s], scales[s], kernels)
        for t, y in zip(source.targets, contributions, strict=True):
            total[t] = y if t not in total else total[t] + y
    complete(len(states))
    return states


def mixing_weights(plan: Plan) -> Tensor:
    """p (edges, operations), by whatever relaxation the layers have."""
    layers = plan.layers
    if together(layers) and not any(hooked(layer._softmax) for layer in layers):
        return weights_at_once(layers)
    # One that draws must draw in the same order as ever.
    return weights_in_turn(layers, plan.target_order)


def edge_weights(plan: Plan) -> Tensor | None:
    """b (edges,), in the order of p; None where no node weighs its edges."""
    of_nodes = [node.weights() for node in plan.nodes]
    weighted = [weights for weights in of_nodes if weights is not None]
    if not weighted:
        return None
    rows = [
        weighted[0].new_ones(len(node.edges)) if weights is None else weights
        for node, weights in zip(plan.nodes, of_nodes, strict=True)
    ]
    # They come by target.
    by_edge = dict(zip(plan.target_order, torch.cat(rows).unbind(), strict=True))
    return torch.stack([by_edge[edge] for edge in range(len(by_edge))])


def _per_source(
    plan: Plan,
    p: Sequence[Tensor],
    wanted: Callable[[Source], Sequence[Chains | Reductions | Features]],
) -> list[Sequence[Tensor]]:
    """p of the wanted operations, on the edges of each source.

    Taken out and divided for all sources at once: each small copy is a kernel, with more of them in
    the backward pass.
    """
    operations = [[part.operation for part in wanted(source)] for source in plan.sources]
    every = sorted({o for of_source in operations for o in of_source})
    if not every:
        return [() for _ in plan.sources]
    parts = torch.stack([p[o] for o in every]).split([len(s.targets) for s in plan.sources], 1)
    rows = [dict(zip(every, part.unbind(0), strict=True)) for part in parts]
    return [
        [of_part[o] for o in of_source] for of_part, of_source in zip(rows, operations, strict=True)
    ]


def _complete(
    plan: Plan,
    target: int,
    total: dict[int, Tensor],
    p: Sequence[Tensor],
    seen: Sequence[Tensor],
) -> Tensor:
    """Sum (N, C, H, W) of the operations into a node: its total so far plus the unfused ones."""
    x = total.pop(target).permute(0, 3, 1, 2) if target in total else None
    for source, edge, operation, module in plan.unfused.get(target, ()):
        part = p[operation][edge] * module(seen[source])
        x = part if x is None else x + part
    return cast(Tensor, x)


def _contributions(
    source: Source,
    x: Tensor,
    mixture: Sequence[Tensor],
    scales: Sequence[Tensor],
    kernels: Mapping[Shape, Sequence[Tensor]],
) -> Sequence[Tensor]:
    """Contributions of the edges that leave x (N, C, H, W), per target: (N, H', W', C).

    Args:
        source: the edges.
        x: the state.
        mixture: p of each feature (edges,).
        scales: p of each chain, then of each reduction, repeated for the channels (edges, C).
        kernels: joined kernels of the cell.
    """
    k = len(source.targets)
    activated = F.relu(x) if source.chains or source.reductions else x
    plain: list[Tensor] = []
    phased: list[Tensor] = []
    rows = iter(scales)
    runs = Runs(activated, k, kernels)
    for chains in source.chains:
        y = runs.chain(chains, next(rows).flatten())
        (phased if runs.phased(chains) else plain).append(y)
    for reductions in source.reductions:
        plain.append(reduced(reductions, activated, k, next(rows).flatten(), kernels))
    total = _mixed(source.features, x, mixture) if source.features else None
    if plain:
        y = layout.by_edge(_sum(plain), k)
        total = y.contiguous() if total is None else total + y
    if phased:
        if total is None:
            total = x.new_zeros((k, *x.permute(0, 2, 3, 1).shape))
        total = layout.add_phases(total, _sum(phased))
    return () if total is None else total.unbind(0)


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    if total.requires_grad:
        # All parts have this gradient: put it in order once, not in each of their backward passes.
        total.register_hook(layout.channels_last)
    return total


def _mixed(features: Sequence[Features], x: Tensor, p: Sequence[Tensor]) -> Tensor:
    """sum_o p_o * o(x) of the operations without weights: (k, N, H, W, C)."""
    found = []
    for feature in features:
        y = x if feature.pool is None else feature.pool(x)
        if feature.kind.eps is not None:
            y = norm(y, feature.kind.eps)
        found.append(y.permute(0, 2, 3, 1))
    with torch.autocast(x.device.type, enabled=False):
        stacked = torch.stack(found).to(p[0].dtype)
        mixed = torch.stack(list(p), 1) @ stacked.flatten(1)
    return mixed.view(-1, *stacked.shape[1:])
