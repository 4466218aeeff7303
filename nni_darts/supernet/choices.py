"""Choices of a supernet as decisions that can be ranked, and decisions as a sample."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from nni.nas.nn.pytorch import InputChoice, LayerChoice, Repeat
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedRepeat
from torch import Tensor, nn

from nni_darts.genotypes.cell import NONE, Edge
from nni_darts.genotypes.derivation import strongest_first
from nni_darts.supernet.decisions import Decided, Part, Parts
from nni_darts.supernet.mixed import MixedNode, Sample, log_probabilities
from nni_darts.supernet.nni_cell import MixedCell

__all__ = ["Choices", "alphas"]


class Choices:
    """Translator between a supernet's choices and decisions: makes parts, reads decisions.

    Args:
        without: pairs of a label and a choice that has the probability 0 there.

    Raises:
        ValueError: one label stands for choices that differ.
    """

    def __init__(self, without: Collection[tuple[str, Any]] = ()) -> None:
        self.without = without
        self.scores: dict[str, list[float]] = {}
        self._make = Parts()
        self._declared: dict[str, tuple[Any, ...]] = {}
        self._readers: dict[str, Callable[[Decided], Sample]] = {}
        self._edges: dict[str, list[list[str]]] = {}

    def parts(self, modules: Iterable[nn.Module]) -> list[Part]:
        """Decisions that are taken wherever all these modules are."""
        units = [unit for module in modules for unit in _units(module)]
        return list(dict.fromkeys(part for unit in units for part in self._parts(unit)))

    def sample(self, decided: Decided) -> Sample:
        """Sample of the decisions, by the labels of the space."""
        found: Sample = {}
        for label in decided:
            if label in self._readers:  # an edge of NNI's Cell is read with its node
                found |= self._readers[label](decided)
        return found

    def _parts(self, unit: Any) -> Iterator[Part]:
        if isinstance(unit, MixedNode):
            yield self._node(unit)
        elif isinstance(unit, MixedCell):
            yield from self._cell(unit)
        elif isinstance(unit, InputChoice):
            ((label, sources, alpha),) = alphas(unit)
            self.scores[label] = log_probabilities(unit, alpha)
            yield self._several(label, cast(int, unit.n_chosen), [()] * len(sources))
        else:
            values = {label: self._values(unit, label, v, a) for label, v, a in alphas(unit)}
            if isinstance(unit, LayerChoice):
                yield self._one(unit.label, [[unit[name]] for name in unit.names])
            elif isinstance(unit, DifferentiableMixedRepeat):
                yield from self._repeat(unit, values, {})
            else:  # a mutable operation, or a module of the user's own
                yield from (self._one(label, [()] * len(v)) for label, v in values.items())
                yield from self.parts(unit.children())

    def _values(self, unit: Any, label: str, values: Sequence[Any], alpha: Tensor) -> Sequence[Any]:
        """Enter a label that has one of these values, and return the values."""
        self._declare(label, "one of", *values)
        scores = zip(log_probabilities(unit, alpha), values, strict=False)
        self.scores[label] = [-math.inf if (label, v) in self.without else s for s, v in scores]
        self._readers[label] = lambda decided: {label: values[cast(int, decided[label])]}
        return values

    def _declare(self, label: str, *what: Any) -> None:
        known = self._declared.setdefault(label, what)
        if known != what:
            told = [" ".join(map(str, each)) for each in (known, what)]
            raise ValueError(
                f"the label {label} stands for choices that differ, {told[0]} and {told[1]}; "
                "give each a label of its own"
            )

    def _one(self, label: str, modules: Sequence[Iterable[nn.Module]]) -> Part:
        return self._make.one(label, {i: self.parts(brought) for i, brought in enumerate(modules)})

    def _edge(self, label: str, candidates: Mapping[Any, nn.Module]) -> Part:
        """Part for the operation of a chosen edge, which is never none."""
        brought = {
            i: self.parts([module])
            for i, (name, module) in enumerate(candidates.items())
            if name != NONE
        }
        return self._make.one(label, brought, restricted=len(brought) < len(candidates))

    def _several(self, label: str, size: int, items: Sequence[Iterable[Part]], *how: str) -> Part:
        self._declare(label, size, "of", len(items), *how)
        self._readers.setdefault(label, lambda decided: {label: list(_several(decided, label))})
        return self._make.several(label, size, items)

    def _repeat(
        self, unit: Repeat, values: Mapping[str, Sequence[Any]], sample: Sample
    ) -> list[Part]:
        """Parts of the first blocks, as many as the depth is once all its labels are decided."""
        if not values:
            depth = cast(Any, unit.depth_choice).freeze(sample)
            return self.parts(list(unit.blocks)[:depth])
        label, *others = values
        further = {other: values[other] for other in others}
        below = {
            i: self._repeat(unit, further, {**sample, label: value})
            for i, value in enumerate(values[label])
        }
        return [self._make.one(label, below)]

    def _node(self, node: MixedNode) -> Part:
        """Part for the chosen edges of a node, with an operation for each of them."""
        edges = node.choices
        for edge in edges:
            self._values(edge, edge.label, edge.names, edge._arch_alpha)
        label = node.choice.label
        self._edges.setdefault(label, []).append([edge.label for edge in edges])
        self._readers.setdefault(label, functools.partial(self._strongest_first, label))
        weighted = ["by weighted edges"] if node.edge_weights else []
        if weighted:
            self.scores[label] = node.log_weights()
        parts = [
            self._edge(edge.label, {name: edge[name] for name in edge.names}) for edge in edges
        ]
        return self._several(label, node.choice.n_chosen, [[part] for part in parts], *weighted)

    def _strongest_first(self, label: str, decided: Decided) -> Sample:
        """Chosen inputs of the nodes that share a label, strongest first."""
        chosen = _several(decided, label)
        # Of nodes with other edges than each other's, one that is in the architecture.
        edges = next(e for e in self._edges[label] if all(e[j] in decided for j in chosen))
        operations = {j: cast(int, decided[edges[j]]) for j in chosen}
        own = self.scores.get(label)
        found = [
            (self.scores[edges[j]][o] + (own[j] if own else 0.0), Edge(str(o), j))
            for j, o in operations.items()
        ]
        return {label: [edge.source for edge in strongest_first(found)]}

    def _cell(self, cell: MixedCell) -> Iterator[Part]:
        """Parts of a cell: for each node its distinct inputs, with an operation for each."""
        self._declare(cell.label, cell.num_ops_per_node, "edges per node")
        for node, operations in zip(cell.output_node_indices, cast(Any, cell.ops), strict=True):
            edges = [f"{cell.label}/{node}_{source}" for source in range(node)]
            for edge in edges:
                # The emulated none is the one alpha more than there are names.
                self._values(cell, edge, cell.op_names, cell._arch_alpha[edge])
                del self._readers[edge]
            parts = [
                self._edge(edge, dict(candidates.items()))
                for edge, candidates in zip(edges, operations, strict=True)
            ]
            label = f"{cell.label}/{node}"
            self._readers[label] = functools.partial(_read_node, cell, node)
            size = min(cell.num_ops_per_node, node)
            yield self._several(label, size, [[part] for part in parts])


def _read_node(cell: MixedCell, node: int, decided: Decided) -> Sample:
    edges = [
        (source, cell.op_names[cast(int, decided[f"{cell.label}/{node}_{source}"])])
        for source in _several(decided, f"{cell.label}/{node}")
    ]
    return cell.named(node, edges)


def _several(decided: Decided, label: str) -> tuple[int, ...]:
    return cast("tuple[int, ...]", decided[label])


def _units(module: nn.Module) -> Iterator[BaseSuperNetModule]:
    """The outermost supernet modules of a module, itself included."""
    if isinstance(module, BaseSuperNetModule):
        yield module
    else:
        for child in module.children():
            yield from _units(child)


def alphas(module: Any) -> Iterator[tuple[str, Sequence[Any], Tensor]]:
    """A supernet module's own alphas: label, choices, unnormalised values."""
    alpha = getattr(module, "_arch_alpha", None)
    if isinstance(alpha, nn.Parameter):
        names = module.names if isinstance(module, LayerChoice) else range(len(alpha))
        yield module.label, names, alpha
    elif isinstance(module, MixedCell):
        for label, edge_alpha in module._arch_alpha.items():
            yield label, module.op_names, edge_alpha
    elif isinstance(alpha, nn.ParameterDict):
        depth = isinstance(module, DifferentiableMixedRepeat)
        mutables = (module.depth_choice if depth else module).simplify()
        for label, value_alpha in alpha.items():
            yield label, mutables[label].values, value_alpha
