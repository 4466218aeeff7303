"""Perturbation-based selection (DARTS-PT): what is kept is what the supernet misses most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, cast

from nni.nas.nn.pytorch import LayerChoice
from torch import nn

from nni_darts._common import limits
from nni_darts._common.checks import POSITIVE, number, size, truth
from nni_darts.genotypes.cell import NONE
from nni_darts.history.record import CellEdge, place_of
from nni_darts.search.projection import Decision, Kind, Node, Order, Projection, drawn
from nni_darts.search.selection import (
    Closing,
    Selection,
    Validation,
    metric_of,
    require_whole_edges,
)
from nni_darts.supernet.architectures import top_k
from nni_darts.supernet.choices import alphas
from nni_darts.supernet.mixed import MixedNode, Ranked
from nni_darts.supernet.mixture import mixture_of
from nni_darts.supernet.relaxation import OneHot
from nni_darts.supernet.restriction import Restriction

OTHERS = "choices"
"""Kind of all choices that are in no cell."""


@dataclass(frozen=True)
class PerturbationBased(Selection):
    """Perturbation-based: what the supernet misses most is kept, whatever its alpha (DARTS-PT).

    Wang et al., ICLR 2021 (arXiv 2108.04392), by the published code. After the search an edge is
    drawn; each of its operations in turn gets the mixing weight 0, the others keeping theirs, and
    the one without which the supernet validates worst becomes the edge's only one. So on, with
    `epochs_between` epochs of training in between, until all edges are decided; then nodes that
    have more edges than they keep lose those without which the supernet validates best. Of a space
    without nodes all `LayerChoice`s are decided. The training goes on for one epoch after the last
    decision, in all (decisions - 1) * epochs_between + 1 epochs (the published code for
    NAS-Bench-201 takes one less).

    What differs: an edge into a node never becomes `none`. The published code lets it, on its space
    S3, and prints a genotype then that has another edge with a skip connection in its place.

    Args:
        epochs_between: epochs of training from one decision to the next, at least 1.
        learning_rate: of the weights' fresh optimiser in these epochs, constant; a tenth of that
            which the search began with by default.
        fix_alpha: whether the alphas rest, in the search too ("blank").
        metric: "accuracy", the `val_acc` that the validation step logs, or "loss", its `val_loss`.
    """

    epochs_between: int = 5
    learning_rate: float | None = None
    fix_alpha: bool = False
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        size("epochs_between", self.epochs_between, 1, limits.EPOCHS)
        if self.learning_rate is not None:
            number("learning_rate", self.learning_rate, POSITIVE)
        truth("fix_alpha", self.fix_alpha)
        metric_of(self.metric)

    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        return top_k(supernet, limit)

    @property
    def learns_alpha(self) -> bool:
        return not self.fix_alpha

    def closing(self, supernet: nn.Module, seed: int) -> Closing:
        require_whole_edges(supernet)
        kinds = kinds_of(supernet)
        if not kinds:
            raise ValueError(
                f"a perturbation selection decides LayerChoices, and {type(supernet).__name__} has "
                "none; take selection strongest or subnets"
            )
        mixture = mixture_of(supernet)
        if mixture is not None and isinstance(mixture.relaxation, OneHot):
            raise ValueError(
                "a perturbation selection measures mixtures without one operation, and "
                f"{type(mixture.relaxation).__name__} runs one operation at a time; take another "
                "relaxation, or selection strongest or subnets"
            )
        return _Perturbing(self, kinds, seed)


class _Perturbing(Closing):
    """The epochs of a perturbation-based selection."""

    def __init__(self, selection: PerturbationBased, kinds: Mapping[str, Kind], seed: int) -> None:
        self.selection = selection
        self.metric = selection.metric
        self.learning_rate = selection.learning_rate
        self.seed = seed
        self.projection = Projection(kinds, drawn(kinds, Random(seed)))
        self.epochs = (self.projection.steps - 1) * selection.epochs_between + 1

    @property
    def done(self) -> bool:
        return self.projection.steps_taken == self.projection.steps

    def at(self, epoch: int, validate: Validation) -> None:
        step, rest = divmod(epoch, self.selection.epochs_between)
        # Another number of steps: an epoch that is begun again.
        if rest or self.projection.steps_taken != step or self.done:
            return
        for taken in self.projection.step(lambda masked: validate(masked, self.metric)):
            scores = ", ".join(f"{name} {score:.4f}" for name, score in taken.scores.items())
            kept = ", ".join(taken.kept)
            print(f"selection: {taken.label} keeps {kept} (without each: {scores})", flush=True)

    @property
    def restrictions(self) -> Mapping[str, Restriction]:
        return self.projection.restrictions()

    @property
    def state(self) -> dict[str, Any]:
        if not self.projection.decisions:
            return {}
        return {
            "metric": self.metric,
            "seed": self.seed,
            "order": {
                kind: {"edges": list(order.edges), "nodes": list(order.nodes)}
                for kind, order in self.projection.order.items()
            },
            "decisions": [
                {**asdict(taken), "kept": list(taken.kept)} for taken in self.projection.decisions
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.seed = state["seed"]
        order = {
            kind: Order(tuple(each["edges"]), tuple(each["nodes"]))
            for kind, each in state["order"].items()
        }
        taken = [Decision(**{**each, "kept": tuple(each["kept"])}) for each in state["decisions"]]
        self.projection = Projection(self.projection.kinds, order, taken)

    def rank(self, supernet: nn.Module, limit: int) -> Ranked:
        return [(s, sample) for s, sample in top_k(supernet, limit) if s > -math.inf]


def kinds_of(supernet: nn.Module) -> dict[str, Kind]:
    """The edges and nodes of a supernet's cells, by their kind, and its other LayerChoices.

    Nodes have the operation `none` on no edge that they keep.
    """
    operations: dict[str, dict[str, int]] = {}
    nodes: dict[str, Node] = {}
    for module in list[Any](supernet.modules()):
        if isinstance(module, LayerChoice):
            for label, names, _ in alphas(module):
                places = {str(name): place for place, name in enumerate(names)}
                operations.setdefault(label, places)
        elif isinstance(module, MixedNode):
            edges = tuple(edge.label for edge in module.choices)
            nodes[module.choice.label] = Node(edges, cast(int, module.choice.n_chosen))
    into_nodes = {edge for node in nodes.values() for edge in node.edges}
    for label in into_nodes:
        operations[label].pop(NONE, None)
    kinds = {label: _kind(label) for label in operations}
    return {
        kind: Kind(
            {label: names for label, names in operations.items() if kinds[label] == kind},
            {label: node for label, node in nodes.items() if kinds[node.edges[0]] == kind},
        )
        for kind in dict.fromkeys(kinds.values())
    }


def _kind(label: str) -> str:
    place = place_of(label)
    return place.kind if isinstance(place, CellEdge) else OTHERS
