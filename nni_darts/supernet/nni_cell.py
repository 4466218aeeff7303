"""NNI's `Cell` in the supernet, and what is left of it when the supernet is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedCell
from torch import nn

from nni_darts.genotypes.derivation import best_edges, options
from nni_darts.supernet.mixed import Sample, log_probabilities
from nni_darts.supernet.nodes import ChosenEdges


class MixedCell(DifferentiableMixedCell):
    """Version of NNI's `Cell` in the supernet that can be frozen and ranks soundly.

    NNI ranks by raw alpha; here it is by the probabilities of the operations and of the `none` that
    NNI emulates by one more alpha (paper, section 2.4).
    """

    def export(self, memo: Sample) -> Sample:
        sample: Sample = {}
        for node in self.output_node_indices:
            alphas = [self._arch_alpha[f"{self.label}/{node}_{source}"] for source in range(node)]
            # The emulated none is the one alpha more than there are names.
            incoming = [
                options(log_probabilities(self, a)[: len(self.op_names)], self.op_names)
                for a in alphas
            ]
            ((_, chosen),) = best_edges(incoming, min(self.num_ops_per_node, node), 1)
            # By source, as NNI has them.
            sample |= self.named(node, sorted((edge.source, edge.operation) for edge in chosen))
        return sample

    def named(self, node: int, edges: Sequence[tuple[int, str]]) -> Sample:
        """Sample of a node's edges (source, operation).

        A node with fewer inputs than it has edges takes them in turn, as in NNI.
        """
        sample: Sample = {}
        for k in self._slots:
            source, name = edges[k % len(edges)]
            sample[f"{self.label}/op_{node}_{k}"] = name
            sample[f"{self.label}/input_{node}_{k}"] = [source]
        return sample

    def freeze(self, sample: Sample) -> FrozenCell:
        """Freeze to the chosen edges, with their weights."""
        self.validate(sample)
        nodes = []
        for node, ops in zip(self.output_node_indices, self.ops, strict=True):
            sources = [sample[f"{self.label}/input_{node}_{k}"][0] for k in self._slots]
            names = [sample[f"{self.label}/op_{node}_{k}"] for k in self._slots]
            edges = [ops[source][name] for source, name in zip(sources, names, strict=True)]
            nodes.append(ChosenEdges(edges, sources))
        return FrozenCell(self.preprocessor, nodes, self.postprocessor, self.concat_dim)

    @property
    def _slots(self) -> range:
        return range(self.num_ops_per_node)


class FrozenCell(nn.Module):
    """Frozen `MixedCell`, called as NNI's `Cell` is."""

    def __init__(self, preprocessor: Any, nodes: Any, postprocessor: Any, concat_dim: int) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.nodes = nn.ModuleList(nodes)
        self.postprocessor = postprocessor
        self.concat_dim = concat_dim

    def forward(self, *inputs: Any) -> Any:
        processed = inputs[0] if isinstance(inputs[0], list) else list(inputs)
        states = list(self.preprocessor(processed))
        first = len(states)
        for node in self.nodes:
            states.append(node(states))
        return self.postprocessor(torch.cat(states[first:], self.concat_dim), processed)
