"""The DARTS space of recurrent cells (paper, section 3.1.2) as an NNI model space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn

from nni_darts._common import limits
from nni_darts._common.checks import size
from nni_darts.genotypes.genotype import RNN_PRIMITIVES
from nni_darts.supernet.mixed import MixedNode, Node
from nni_darts.supernet.mixture import together, weights_at_once, weights_in_turn
from search_spaces.activations import ACTIVATIONS, NONE, Activation, edge
from search_spaces.cell_space import CellSpace
from search_spaces.darts_rnn_network import (
    DartsRNNNetwork,
    HighwayNode,
    Highways,
    LanguageModel,
    Output,
    check_language_model,
    check_weights,
)
from search_spaces.operations import check_primitives

NUM_CHOSEN = 1
"""Edges that a node keeps (paper, section 2.4)."""


class DartsRNN(CellSpace, LanguageModel, ModelSpace):
    """Space of all language models of one recurrent cell.

    Edge (i, j) has the label `recurrent_{j}_{i}`, node j the label `recurrent_{j}`; state 0 joins
    the input and the previous state. The cell's output is the mean of all nodes. `freeze(sample)`
    gives the `DartsRNNNetwork` with newly initialised weights.

    Each state, 0 too, is normalised over the batch, by its own statistics at all times, without
    scale and shift; the discrete network has no normalisation. The reference normalises by running
    statistics in evaluation, one for all states and times; here evaluation is as training, without
    dropout (paper, A.1.1). So a batch needs two texts.

    Args:
        vocabulary: number of words, at least 2.
        embedding: size of their vectors; equal to `hidden`, as the decoder shares them.
        hidden: size of the state.
        num_nodes: number of nodes, at least 1.
        primitives: the operations on every edge: `none`, or keys of
            `search_spaces.activations.ACTIVATIONS`.
        dropout_out: dropout of states before the decoder; all dropouts are probabilities in [0, 1).
        dropout_h: dropout of the states within the cell where they meet weights.
        dropout_x: dropout of the cell's input, after `dropout_i`.
        dropout_i: dropout of the embedded words.
        dropout_e: dropout of whole words.

    Raises:
        ValueError: an argument is out of its range.
    """

    network = DartsRNNNetwork

    def __init__(
        self,
        vocabulary: int,
        embedding: int = 300,
        hidden: int = 300,
        num_nodes: int = 8,
        primitives: Sequence[str] = RNN_PRIMITIVES,
        dropout_out: float = 0.75,
        dropout_h: float = 0.25,
        dropout_x: float = 0.75,
        dropout_i: float = 0.2,
        dropout_e: float = 0.0,
    ) -> None:
        arguments: dict[str, Any] = {
            "vocabulary": vocabulary,
            "embedding": embedding,
            "hidden": hidden,
            "dropout_out": dropout_out,
            "dropout_h": dropout_h,
            "dropout_x": dropout_x,
            "dropout_i": dropout_i,
            "dropout_e": dropout_e,
        }
        arguments = check_language_model(**arguments)
        hidden = arguments["hidden"]
        check_primitives(primitives, [NONE, *ACTIVATIONS])
        num_nodes = size("num_nodes", num_nodes, 1, limits.NODES)
        check_weights(num_nodes, arguments["vocabulary"], hidden)
        super().__init__()
        states = range(1, 1 + num_nodes)
        nodes = [HighwayNode(hidden, _edges(target, primitives)) for target in states]
        norm = nn.BatchNorm1d(hidden, affine=False, track_running_stats=False)
        self.build(nodes, states, norm, **arguments)

    def forward(self, tokens: Tensor, state: Tensor) -> Output:
        """Read tokens as `LanguageModel` does; ValueError also for fewer than two texts."""
        if tokens.dim() == 2 and tokens.shape[1] < 2:
            raise ValueError(
                "the cells to choose from normalise over the texts of a batch: expected at least "
                f"2, got {tokens.shape[1]}; choose a larger batch size"
            )
        return super().forward(tokens, state)

    @staticmethod
    def extra_oneshot_hooks(strategy: Any) -> list[Callable[..., Any]]:
        return [MixedHighways.mutate]


def _edges(target: int, primitives: Sequence[str]) -> Node:
    edges = [
        LayerChoice({name: edge(name) for name in primitives}, label=f"recurrent_{target}_{source}")
        for source in range(target)
    ]
    return Node(edges, NUM_CHOSEN, label=f"recurrent_{target}")


class MixedHighways(MixedNode):
    """Sum of mixtures over edges that are highways, all with the same operations.

    With p the weights of an edge's operations, and q the part of p that is not `none`'s,

        sum_o p_o * (s + gate * (f_o(h) - s)) = q * s + gate * (sum_o p_o * f_o(h) - q * s),

    which needs each activation once for all the edges of the node, and nothing for `none`.
    """

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        highways = cast(Highways, states)
        p, q = highways.once(self._mixture)
        s, gate, h = highways.stacked()
        operations = torch.stack([f(h) for f in self._activations()], dim=1)
        mixed = torch.einsum("eo,eobh->ebh", p, operations).to(s.dtype)
        return torch.lerp(q * s, mixed, gate).sum(0)

    def _mixture(self) -> tuple[Tensor, Tensor]:
        """Weights p but for `none` (edges, operations), and q (edges, 1, 1).

        Both are times the weights of the edges, where these have any.
        """
        edges = self.choices
        every = range(len(edges))
        p = weights_at_once(edges) if together(edges) else weights_in_turn(edges, every)
        if (b := self.weights()) is not None:
            p = p * b.unsqueeze(1)
        named = zip(edges[0].names, p.unbind(1), strict=True)
        p = torch.stack([p_o for name, p_o in named if name != NONE], dim=1)
        return p, p.sum(1)[:, None, None]

    def _activations(self) -> list[Activation]:
        return [ACTIVATIONS[name] for name in cast(Any, self.edges[0]).names if name != NONE]
