"""Runs a cell of the supernet where one operation is drawn for each edge: no other is computed.

    x_t = sum_{s < t} h_(s,t) * o_(s,t)(x_s)

The edges that leave a state and drew operations of one kind run together, on their kernels alone:
the others' have no gradient, as where the edges run one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from nni_darts.supernet.fused import layout
from nni_darts.supernet.fused.operations import Runs, norm, reduced
from nni_darts.supernet.fused.plan import (
    Chains,
    Features,
    Kernels,
    Place,
    Plan,
    Reductions,
    Shape,
    Source,
)
from nni_darts.supernet.mixture import Drawn

_Part: TypeAlias = Chains | Reductions | Features


@dataclass(frozen=True)
class _Group:
    """Edges that leave a state and drew one operation."""

    part: _Part
    """Operation, with the kernels of these edges only."""
    targets: Sequence[int]
    weights: Sequence[Tensor]


def run_drawn(plan: Plan, inputs: Sequence[Tensor], drawn: Sequence[Drawn]) -> list[Tensor]:
    """The states (N, C, H, W) of a cell: its inputs, then its nodes.

    Args:
        plan: of the cell.
        inputs: (N, C, H, W) each.
        drawn: operation of each edge, in the order of the plan's layers.
    """
    kernels = Kernels()
    groups = [list(_groups(plan, source, drawn, kernels)) for source in plan.sources]
    scales = _scales([g for of_source in groups for g in of_source], inputs[0].shape[1])
    joined = kernels.joined()
    states = [layout.channels_last(x) for x in inputs]
    total: dict[int, Tensor] = {}
    for s, of_source in enumerate(groups):
        if s == len(states):
            states.append(_complete(plan, s, total, drawn, states))
        for t, x in _contributions(states[s], of_source, scales, joined):
            total[t] = x if t not in total else total[t] + x
    states.append(_complete(plan, len(states), total, drawn, states))
    return states


def _groups(
    plan: Plan, source: Source, drawn: Sequence[Drawn], kernels: Kernels
) -> Iterator[_Group]:
    """Edges of a source that run together; the kernels that they drew are added to `kernels`."""
    by_operation: dict[int, list[int]] = {}
    for i in range(len(source.targets)):
        by_operation.setdefault(drawn[source.first + i].index, []).append(i)
    parts: list[_Part] = [*source.chains, *source.reductions, *source.features]
    for part in parts:
        if edges := by_operation.get(part.operation):
            weights = [drawn[source.first + i].weight for i in edges]
            targets = [source.targets[i] for i in edges]
            yield _Group(_on(part, edges, plan.kernels, kernels), targets, weights)


def _on(part: _Part, edges: Sequence[int], every: Kernels, kernels: Kernels) -> _Part:
    """Operation on some of its edges; of `every` kernel, theirs are added to `kernels`."""

    def taken(places: tuple[Place, Place]) -> tuple[Place, Place]:
        one, other = (kernels.add(every.of(place, edges)) for place in places)
        return one, other

    if isinstance(part, Chains):
        return replace(part, kernels=[taken(stage) for stage in part.kernels])
    if isinstance(part, Reductions):
        return replace(part, kernels=taken(part.kernels))
    return part


def _scales(groups: Sequence[_Group], channels: int) -> Mapping[int, Tensor]:
    """Weights of the edges of each group that ends in a normalisation, repeated for the channels.

    Made for all of them at once: each small copy is a kernel.
    """
    scaled = [g for g in groups if not isinstance(g.part, Features)]
    if not scaled:
        return {}
    every = torch.stack([weight for g in scaled for weight in g.weights])
    sizes = [len(g.weights) * channels for g in scaled]
    parts = every.unsqueeze(1).expand(-1, channels).flatten().split(sizes)
    return {id(g): part for g, part in zip(scaled, parts, strict=True)}


def _contributions(
    x: Tensor,
    groups: Sequence[_Group],
    scales: Mapping[int, Tensor],
    kernels: Mapping[Shape, Sequence[Tensor]],
) -> Iterator[tuple[int, Tensor]]:
    """Pairs of a target and what an edge that leaves x gives it (N, H', W', C)."""
    activated = F.relu(x) if any(not isinstance(g.part, Features) for g in groups) else x
    runs: dict[int, Runs] = {}
    for group in groups:
        part, k = group.part, len(group.targets)
        if isinstance(part, Features):
            y = x if part.pool is None else part.pool(x)
            if part.kind.eps is not None:
                y = norm(y, part.kind.eps)
            y = y.permute(0, 2, 3, 1)
            yield from ((t, w * y) for t, w in zip(group.targets, group.weights, strict=True))
            continue
        scale = scales[id(group)]
        if isinstance(part, Reductions):
            y = reduced(part, activated, k, scale, kernels)
        else:
            together = runs.setdefault(k, Runs(activated, k, kernels))
            y = together.chain(part, scale)
            if together.phased(part):
                none = x.new_zeros((k, *x.permute(0, 2, 3, 1).shape))
                yield from zip(group.targets, layout.add_phases(none, y).unbind(), strict=True)
                continue
        if y.requires_grad:
            y.register_hook(layout.channels_last)
        yield from zip(group.targets, layout.by_edge(y, k).unbind(), strict=True)


def _complete(
    plan: Plan,
    target: int,
    total: dict[int, Tensor],
    drawn: Sequence[Drawn],
    states: Sequence[Tensor],
) -> Tensor:
    """State (N, C, H, W) of a node: its total so far plus the operations that run by themselves."""
    x = total.pop(target).permute(0, 3, 1, 2) if target in total else None
    for source, edge, operation, module in plan.unfused.get(target, ()):
        if drawn[edge].index == operation:
            y = drawn[edge].weight * module(states[source])
            x = y if x is None else x + y
    incoming = [
        (s, source.first + source.targets.index(target))
        for s, source in enumerate(plan.sources)
        if target in source.targets
    ]
    if x is None:  # all edges drew none, of which one tells the shape
        s, edge = incoming[0]
        layer = plan.layers[edge]
        x = drawn[edge].weight * layer[layer.names[drawn[edge].index]](states[s])
    for _, edge in incoming:
        if (rest := drawn[edge].rest) is not None:
            x = x + rest
    return layout.channels_last(x)
