"""Plan of a cell of the supernet: the operations that run together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import torch
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedLayer
from torch import Tensor, nn

from nni_darts.supernet.drawn import DrawnLayer
from nni_darts.supernet.fused.bypass import Partial
from nni_darts.supernet.fused.kinds import (
    Chain,
    Feature,
    Reduction,
    overwrites,
    recognise,
    stages_of,
)
from nni_darts.supernet.fused.watch import Watch, hooked, settings
from nni_darts.supernet.mixed import MixedNode
from nni_darts.supernet.nodes import Nodes
from nni_darts.supernet.partial_channels import PartialChannels

Shape = tuple[int, ...]


class Kernels:
    """The kernels of all convolutions that run together, joined in one copy for each shape.

    Joined and divided at once, the gradient of all of them is one copy too.
    """

    def __init__(self) -> None:
        self._added: dict[Shape, list[Sequence[nn.Conv2d]]] = {}

    def add(self, convolutions: Sequence[nn.Conv2d]) -> tuple[Shape, int]:
        """Add convolutions of one shape that run as one; returns their place in `joined`."""
        shape = tuple(convolutions[0].weight.shape)
        added = self._added.setdefault(shape, [])
        added.append(convolutions)
        return shape, len(added) - 1

    def of(self, place: tuple[Shape, int], edges: Sequence[int]) -> list[nn.Conv2d]:
        """Convolutions of some of the edges of an `add`, by their indices there."""
        shape, position = place
        return [self._added[shape][position][i] for i in edges]

    def joined(self) -> Mapping[Shape, Sequence[Tensor]]:
        """Kernels of each `add` by shape (c_out, ...), each (len * c_out, ...)."""
        return {
            shape: torch.cat([m.weight for modules in added for m in modules]).split(
                [len(modules) * shape[0] for modules in added]
            )
            for shape, added in self._added.items()
        }


Place = tuple[Shape, int]


@dataclass(frozen=True)
class Chains:
    """Separable convolutions of one kind, on every edge that leaves a state."""

    operation: int
    kind: Chain
    kernels: Sequence[tuple[Place, Place]]
    """Places of each stage's kernels: depthwise, pointwise."""


@dataclass(frozen=True)
class Reductions:
    """Operations `FactorizedReduce`, on every edge that leaves a state."""

    operation: int
    kind: Reduction
    kernels: tuple[Place, Place]
    """Places of the kernels of the even and of the odd pixels."""


@dataclass(frozen=True)
class Features:
    """Operations of one kind without weights, on every edge that leaves a state."""

    operation: int
    kind: Feature
    pool: nn.Module | None


@dataclass(frozen=True)
class Source:
    """The edges that leave a state, in the order of their targets.

    Operations are numbered as in the layers' names, edges from `first` on, sources in order.
    """

    targets: tuple[int, ...]
    """States that the edges lead to."""
    first: int
    chains: Sequence[Chains]
    reductions: Sequence[Reductions]
    features: Sequence[Features]


@dataclass(frozen=True)
class Plan:
    """Plan of a cell; states are numbered from its inputs on."""

    sources: Sequence[Source]
    layers: Sequence[Any]
    """Mixed layer of every edge, by source."""
    target_order: Sequence[int]
    """Edges ordered by target, as they would run one by one."""
    unfused: Mapping[int, Sequence[tuple[int, int, int, nn.Module]]]
    """Unfused operations by target, in the plain order: source, edge, operation, module."""
    kernels: Kernels
    nodes: Sequence[MixedNode]
    partial: Partial | None
    """Partial channels; None where operations work on all of them."""
    watch: Watch
    """Watch over all that the plan rests on."""

    @property
    def sums_operations(self) -> bool:
        """True if nodes are sums of whole operations: no partial channels, no weights of edges."""
        return self.partial is None and not any(node.edge_weights for node in self.nodes)


def make_plan(nodes: Nodes) -> Plan | None:
    """The plan of a cell of the supernet, or None where nothing can run together.

    It takes mixed nodes whose edges are mixed layers of one set of names. Of what has hooks, nodes
    and edges keep the cell from running together; operations run as they are.
    """
    edges = _mixed_edges(nodes)
    if edges is None:
        return None
    mixed = [cast(MixedNode, node) for node in nodes]
    partial_edges = [edge for node in mixed for edge in node.edges if _is_partial(edge)]
    partial = _partial(mixed) if partial_edges else None
    if partial_edges and partial is None:
        return None
    inputs, names = len(edges[0]), edges[0][0].names
    kernels = Kernels()
    planned: list[nn.Module] = []
    unfused: dict[int, list[tuple[int, int, int, nn.Module]]] = {}
    layers: list[Any] = []
    places: list[tuple[int, int]] = []
    sources = []
    for source in range(len(edges[-1])):
        first = len(layers)
        outgoing = [
            (inputs + i, node[source]) for i, node in enumerate(edges) if source < len(node)
        ]
        targets = tuple(target for target, _ in outgoing)
        layers += [edge for _, edge in outgoing]
        places += [(target, source) for target in targets]
        chains, reductions, features = [], [], []
        for o, name in enumerate(names):
            modules = [edge[name] for _, edge in outgoing]
            kinds = {recognise(module) for module in modules}
            kind = kinds.pop() if len(kinds) == 1 else None
            if kind is None:
                for i, (target, module) in enumerate(zip(targets, modules, strict=True)):
                    unfused.setdefault(target, []).append((source, first + i, o, module))
                continue
            planned += modules
            if isinstance(kind, Chain):
                stages = zip(*map(stages_of, modules), strict=True)
                of_stages = [
                    (kernels.add([d for d, _ in stage]), kernels.add([p for _, p in stage]))
                    for stage in stages
                ]
                chains.append(Chains(o, kind, of_stages))
            elif isinstance(kind, Reduction):
                even, odd = ([getattr(m, half) for m in modules] for half in ("even", "odd"))
                reductions.append(Reductions(o, kind, (kernels.add(even), kernels.add(odd))))
            elif isinstance(kind, Feature):
                parts = [m for m in modules[0].modules() if kind.pool == settings(m)]
                features.append(Features(o, kind, parts[0] if parts else None))
        sources.append(Source(targets, first, chains, reductions, features))
    channels = {c.kind.channels for s in sources for c in s.chains}
    channels |= {c.kind.channels for s in sources for c in s.reductions}
    together = all(s.chains or s.reductions or s.features for s in sources)
    if not together or len(channels) > 1:
        return None
    target_order = sorted(range(len(layers)), key=places.__getitem__)
    planned += [edge.bypass for edge in partial_edges]
    watch = Watch(
        [nodes, *(node.edges for node in mixed)], [*mixed, *partial_edges, *layers], planned
    )
    return Plan(sources, layers, target_order, unfused, kernels, mixed, partial, watch)


def _mixed_edges(nodes: Nodes) -> list[list[Any]] | None:
    """Mixed edges into each node, or None if a plan cannot be made for them."""
    if not nodes or not all(type(node) is MixedNode and not hooked(node) for node in nodes):
        return None
    edges = [cast(MixedNode, node).choices for node in nodes]
    every = [edge for node in edges for edge in node]
    if not every or not all(
        type(edge) in (DifferentiableMixedLayer, DrawnLayer) and not hooked(edge) for edge in every
    ):
        return None
    if len({tuple(edge.names) for edge in every}) > 1:
        return None
    if any(overwrites(operation) for edge in every for operation in edge):
        return None
    inputs = len(edges[0])
    if [len(node) for node in edges] != list(range(inputs, inputs + len(edges))):
        return None
    return edges


def _is_partial(edge: nn.Module) -> TypeGuard[PartialChannels]:
    return isinstance(edge, PartialChannels)


def _partial(nodes: Sequence[MixedNode]) -> Partial | None:
    """Partial channels that all edges of a cell have, or None where they cannot run together."""
    every = [edge for node in nodes for edge in node.edges]
    if not all(type(edge) is PartialChannels and not hooked(edge) for edge in every):
        return None
    shapes = {(edge.channels, edge.k) for edge in every if _is_partial(edge)}
    bypasses = []
    for source in range(len(nodes[-1].edges)):
        outgoing = [cast(Any, node.edges[source]).bypass for node in nodes[_first(nodes, source) :]]
        kinds = {recognise(bypass) for bypass in outgoing}
        if len(kinds) > 1 or not isinstance(kinds.pop(), Feature):
            return None
        bypasses.append(outgoing[0])
    ((channels, k), *others) = shapes
    return None if others else Partial(channels, k, bypasses)


def _first(nodes: Sequence[MixedNode], source: int) -> int:
    """The first node that has an edge from a source."""
    return max(0, source + 1 - len(nodes[0].edges))
