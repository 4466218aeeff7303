"""Cells: nodes of labelled edges as a model space declares them, and how the supernet runs them.

A node chooses `n_chosen` of its incoming edges and, on each, an operation. In the search it is the
sum of all its edges, each the mixture of its operations (paper, section 2.2); it has no alphas of
its own. What it would choose follows from the strengths of its edges (section 2.4).

With edge weights (PC-DARTS, arXiv 1907.05737, Eq. 2) the sum is weighted by betas of the node,

    x_j = sum_i softmax(beta_j)_i * o_bar_(i,j)(x_i),

and the strength of an operation on an edge is its mixing weight times that of the edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from nni.mutable.exception import SampleValidationError
from nni.nas.nn.pytorch import InputChoice, LayerChoice, MutableModule
from nni.nas.nn.pytorch.base import recursive_freeze
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from torch import Tensor, nn

from nni_darts._common.checks import several, size, text, truth
from nni_darts._common.messages import shown
from nni_darts.genotypes.derivation import best_edges, options
from nni_darts.supernet.mixture import probabilities
from nni_darts.supernet.nodes import ChosenEdges
from nni_darts.supernet.partial_channels import choice_of

Sample = dict[str, Any]
Ranked = list[tuple[float, Sample]]
"""Parts of a sample with their log probability, best first."""


class Node(MutableModule):
    """A node of a cell in a model space: an `InputChoice` over labelled `LayerChoice` edges.

    `freeze` keeps the chosen edges only, strongest first if the sample lists them so. A space of
    such nodes names `MixedNode.mutate` in its `extra_oneshot_hooks`.

    Args:
        edges: edge j is applied to state j; a `LayerChoice`, or one in `PartialChannels`.
        n_chosen: how many of them the node keeps, 1 <= n_chosen <= len(edges).
        label: of the choice of edges.
        edge_weights: weigh the edges by learnt betas, which nodes of one label share.

    Raises:
        ValueError: n_chosen is out of its range, or edge_weights are for a single edge.
    """

    def __init__(
        self, edges: Sequence[nn.Module], n_chosen: int, label: str, edge_weights: bool = False
    ) -> None:
        super().__init__()
        edges = several("edges", edges, nn.Module, "modules")
        text("label", label)
        if not edges:
            raise ValueError("edges must hold at least one module, got none")
        n_chosen = size("n_chosen", n_chosen, -math.inf, math.inf)
        if not 1 <= n_chosen <= len(edges):
            raise ValueError(
                f"node {label} has {len(edges)} predecessors and cannot keep {shown(n_chosen)} of "
                f"them; choose n_chosen between 1 and {len(edges)}"
            )
        self.edge_weights = truth("edge_weights", edge_weights)
        if self.edge_weights and len(edges) == 1:
            raise ValueError(
                f"edge_weights: node {label} has a single edge, whose weight would always be 1; "
                "leave edge_weights out there"
            )
        self.edges = nn.ModuleList(edges)
        self.choice = InputChoice(len(edges), n_chosen=n_chosen, label=label)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """A dry run of one architecture, as everywhere in a model space."""
        outputs = [edge(s) for edge, s in zip(self.edges, states, strict=False)]
        return cast(Tensor, self.choice(outputs))

    @classmethod
    def create_fixed_module(
        cls,
        sample: Sample,
        edges: Sequence[nn.Module],
        n_chosen: int,
        label: str,
        edge_weights: bool = False,
    ) -> ChosenEdges:
        sources = sample[label]
        return ChosenEdges([edges[j] for j in sources], sources)

    def freeze(self, sample: Sample) -> ChosenEdges:
        self.validate(sample)
        sources = self.choice.choice.freeze(sample)
        return ChosenEdges(
            [recursive_freeze(self.edges[j], sample, True)[0] for j in sources], sources
        )

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        """The sample must hold the choice of edges and, for these, the operations."""
        error = self.choice.choice.check_contains(sample)
        if error is None:
            for j in self.choice.choice.freeze(sample):
                choice = cast(LayerChoice, choice_of(self.edges[j]))
                error = error or choice.check_contains(sample)
        return error


class MixedNode(Node, BaseSuperNetModule):
    """A `Node` in the supernet: x_j = sum over all edges of their mixed operations.

    Args:
        node: node of the space.
        beta: (num_edges,), unnormalised; None for a node without edge weights.
    """

    def __init__(self, node: Node, beta: nn.Parameter | None = None) -> None:
        MutableModule.__init__(self)
        self.edges = node.edges
        self.edge_weights = node.edge_weights
        self.add_mutable(node.choice.choice)
        # Not registered as a child: NNI would give it alphas.
        object.__setattr__(self, "choice", node.choice)
        self.register_parameter("_arch_beta", beta)

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]
    ) -> MixedNode | None:
        """The mutation hook."""
        if type(module) is not Node:
            return None
        if not module.edge_weights:
            return cls(module)
        # NNI draws a row for the choice of edges as for any other; without edge weights it is idle.
        beta = memo.get(module.choice.label)
        if not isinstance(beta, nn.Parameter):
            raise TypeError(
                f"edge_weights: node {module.choice.label} needs a strategy that learns weights of "
                "choices, such as UnrolledDARTS; choose one, or leave edge_weights out"
            )
        return cls(module, beta)

    @property
    def choices(self) -> list[Any]:
        """The mixed layer of every edge."""
        return [choice_of(edge) for edge in self.edges]

    def weights(self) -> Tensor | None:
        """Weights of the edges (num_edges,), with their graph; None without edge weights.

        They are a softmax, whatever the relaxation of the operations is.
        """
        beta: Tensor | None = self._arch_beta
        return None if beta is None else beta.softmax(-1)

    def log_weights(self) -> list[float]:
        """log of the weights of the edges, in float64; 0 without edge weights."""
        beta: Tensor | None = self._arch_beta
        if beta is None:
            return [0.0] * len(self.edges)
        return cast("list[float]", beta.detach().double().log_softmax(-1).tolist())

    def arch_parameters(self) -> Iterator[nn.Parameter]:
        """The betas, where there are any. Those of the edges are their own."""
        if self._arch_beta is not None:
            yield cast(nn.Parameter, self._arch_beta)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        outputs = [edge(s) for edge, s in zip(self.edges, states, strict=False)]
        if (weights := self.weights()) is not None:
            outputs = [b * x for b, x in zip(weights, outputs, strict=True)]
        return cast(Tensor, sum(outputs[1:], outputs[0]))

    def resample(self, memo: Sample) -> Sample:
        return {}

    def export_probs(self, memo: Sample) -> Sample:
        return {}

    def export(self, memo: Sample) -> Sample:
        """The strongest choice; edges that were not chosen are named too, as NNI expects."""
        if self.choice.label in memo:
            return {}
        edges = self.choices
        incoming = [
            options([b + p for p in log_probabilities(edge, edge._arch_alpha)], edge.names)
            for edge, b in zip(edges, self.log_weights(), strict=True)
        ]
        # What an edge would be that is not chosen does not matter; NNI wants to be told anyway.
        sample = {edge.label: max(o)[1] for edge, o in zip(edges, incoming, strict=True)}
        ((_, chosen),) = best_edges(incoming, self.choice.n_chosen, 1)
        operations = {edges[j].label: name for name, j in chosen}
        return {**sample, **operations, self.choice.label: [edge.source for edge in chosen]}


def log_probabilities(mixed: nn.Module, alpha: Tensor) -> list[float]:
    """log of the probabilities that a mixed module's alphas stand for, in float64."""
    with torch.no_grad():
        return cast(list[float], probabilities(mixed, alpha, torch.float64).log().tolist())
