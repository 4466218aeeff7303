"""The DARTS space of convolutional cells (paper, section 3.1.1) as an NNI model space."""

from __future__ import annotations

from collections import Counter

from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn

from nni_darts._common import limits
from nni_darts._common.checks import size, truth
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.supernet.mixed import Node
from nni_darts.supernet.partial_channels import PartialChannels, part_of
from search_spaces.cell_space import CellSpace
from search_spaces.darts_network import DartsNetwork, Frame, check_frame, check_weights
from search_spaces.edge_operations import Primitives, by_edge
from search_spaces.operations import search_norm, search_operation
from search_spaces.places import Place, Stem

NUM_CHOSEN = 2
"""Edges that a node keeps (paper, section 2.4)."""


class DartsCNN(CellSpace, Frame, ModelSpace):
    """Space of all networks of two cells, normal and reduction, with the same nodes everywhere.

    Cells of a kind share their choices: edge (i, j) of the normal cells has the label
    `normal_{j}_{i}`, node j the label `normal_{j}`; states 0 and 1 are the cell's inputs.
    `freeze(sample)` gives the `DartsNetwork` with newly initialised weights: the discrete network
    has scale and shift in its normalisations and none after pools, so the paper trains it anew.

    Args:
        channels: channels of each node of the first cell, even.
        num_cells: cells, at least 3; those at num_cells // 3 and 2 * num_cells // 3 are reductions.
        num_classes: number of classes, at least 2.
        num_nodes: intermediate nodes of a cell, at least 1; all are concatenated.
        primitives: the operations on every edge, keys of `search_spaces.operations.OPERATIONS`; or
            those on each edge by its label, where they differ, in the same for every edge.
        stem: "cifar", or "imagenet", which divides height and width by 8.
        in_channels: channels of the images.
        partial_channels: K of PC-DARTS: the operations of the supernet work on 1 / K of an edge's
            channels; 1 for all of them. The discrete network has them on all channels.
        edge_weights: weigh the edges into each node of the supernet by learnt weights.

    Raises:
        ValueError: an argument is out of its range.
    """

    edges_may_differ = True
    network = DartsNetwork

    def __init__(
        self,
        channels: int = 16,
        num_cells: int = 8,
        num_classes: int = 10,
        num_nodes: int = 4,
        primitives: Primitives = PRIMITIVES,
        stem: Stem = "cifar",
        in_channels: int = 3,
        partial_channels: int = 1,
        edge_weights: bool = False,
    ) -> None:
        frame = check_frame(channels, num_cells, num_classes, stem, in_channels)
        num_nodes = size("num_nodes", num_nodes, 1, limits.NODES)
        k = size("partial_channels", partial_channels, 1, limits.CHANNELS)
        part_of(frame["channels"], k, "partial_channels")
        edge_weights = truth("edge_weights", edge_weights)
        targets = range(2, 2 + num_nodes)
        concat = dict.fromkeys(("normal", "reduce"), targets)
        operations = by_edge(
            primitives, [_label(kind, j, i) for kind in concat for j in targets for i in range(j)]
        )
        counts = {
            kind: Counter(
                (name, source < 2)
                for target in targets
                for source in range(target)
                for name in operations[_label(kind, target, source)]
            )
            for kind in concat
        }

        def operation(name: str, channels: int, stride: int) -> nn.Module:
            return search_operation(name, channels // k, stride)

        check_weights(frame, concat, counts, operation, search_norm)
        super().__init__()

        def make_edge(place: Place, target: int, source: int) -> nn.Module:
            channels, stride = place.channels, place.stride(source)
            label = _label(place.kind, target, source)
            made = {name: operation(name, channels, stride) for name in operations[label]}
            edge = LayerChoice(made, label=label)
            return edge if k == 1 else PartialChannels(edge, channels, k, stride)

        def make_node(place: Place, target: int) -> Node:
            edges = [make_edge(place, target, source) for source in range(target)]
            return Node(edges, NUM_CHOSEN, f"{place.kind}_{target}", edge_weights)

        def make_nodes(place: Place) -> list[Node]:
            return [make_node(place, target) for target in targets]

        for _ in self.build(make_nodes, concat, search_norm, **frame):
            pass

    def forward(self, x: Tensor) -> Tensor:
        *_, last = self.cell_outputs(x)
        return self.classify(last)


def _label(kind: str, target: int, source: int) -> str:
    return f"{kind}_{target}_{source}"
