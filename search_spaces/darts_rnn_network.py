"""The discrete DARTS language model of a recurrent genotype, and what it shares with the supernet.

Paper: sections 2.1, 3.1.2 and A.2; reference: rnn/model.py of quark0/darts. Torch only: a trained
network runs where nothing else is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from nni_darts._common import limits
from nni_darts._common.checks import PROBABILITY, instance, number, size
from nni_darts.genotypes.genotype import Genotype
from nni_darts.supernet.nodes import ChosenEdges
from search_spaces.activations import Highway, edge
from search_spaces.places import require_affordable

T = TypeVar("T")

INIT_RANGE = 0.04
"""All weights start uniformly in +- this, the decoder's bias at 0 (reference)."""


class Output(NamedTuple):
    """Output of a language model for T tokens in each of B texts."""

    logits: Tensor
    """Logits (T, B, vocabulary), unnormalised, of the token that follows."""
    state: Tensor
    """State (B, hidden) after the last token. Its graph leads back: detach it to carry it on."""
    raw: Tensor
    """State (T, B, hidden) after each token (temporal activation regularisation)."""
    dropped: Tensor
    """State (T, B, hidden) after each token and dropout (activation regularisation)."""


class LanguageModel(nn.Module):
    """Embedding, recurrent cell, and a decoder that shares the embedding's weights.

    Each dropout draws its mask once per call, and not in evaluation (Merity et al., arXiv
    1708.02182): what is dropped is so at every time, a word wherever it stands.
    """

    embedding: nn.Embedding
    cell: Cell
    decoder: nn.Linear

    def build(
        self,
        nodes: Sequence[HighwayNode],
        concat: Sequence[int],
        norm: nn.Module,
        *,
        vocabulary: int,
        embedding: int,
        hidden: int,
        dropout_out: float,
        dropout_h: float,
        dropout_x: float,
        dropout_i: float,
        dropout_e: float,
    ) -> None:
        """Add the modules.

        Args:
            nodes: nodes of the cell.
            concat: the cell's states whose mean is its output.
            norm: normalisation of each of the cell's states.
            vocabulary: number of words.
            embedding: size of their vectors.
            hidden: size of the state.
            dropout_out: dropout of the states before the decoder.
            dropout_h: dropout of the states within the cell.
            dropout_x: dropout of the cell's input.
            dropout_i: dropout of the embedded words.
            dropout_e: dropout of whole words.
        """
        self.vocabulary = vocabulary
        self.hidden = hidden
        self.dropout_out = dropout_out
        self.dropout_i = dropout_i
        self.dropout_e = dropout_e
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.cell = Cell(embedding, hidden, nodes, concat, norm, dropout_h, dropout_x)
        self.decoder = nn.Linear(hidden, vocabulary)
        self.decoder.weight = self.embedding.weight
        nn.init.uniform_(self.embedding.weight, -INIT_RANGE, INIT_RANGE)
        nn.init.zeros_(self.decoder.bias)

    def initial_state(self, batch: int) -> Tensor:
        """Initial state: zeros (batch, hidden)."""
        return self.embedding.weight.new_zeros(batch, self.hidden)

    def forward(self, tokens: Tensor, state: Tensor) -> Output:
        """Read tokens (T, B), int64, from a state (B, hidden) on.

        Raises:
            ValueError: for other shapes.
        """
        if tokens.dim() != 2 or not len(tokens) or state.shape != (tokens.shape[1], self.hidden):
            raise ValueError(
                f"expected tokens (T, B) and a state (B, {self.hidden}), "
                f"got {tuple(tokens.shape)} and {tuple(state.shape)}"
            )
        x = self.embedding(tokens)
        if self.training and self.dropout_e:
            x = x * mask(x, (self.vocabulary, 1), self.dropout_e)[tokens]
        if self.training and self.dropout_i:
            x = x * mask(x, x.shape[1:], self.dropout_i)
        raw = dropped = self.cell(x, state)
        if self.training and self.dropout_out:
            dropped = raw * mask(raw, raw.shape[1:], self.dropout_out)
        return Output(self.decoder(dropped), raw[-1], raw, dropped)


class Cell(nn.Module):
    """Nodes over a first state that joins x_t and h_{t-1}; h_t is the mean of some of the states.

    State 0 is h_{t-1} + gate * (tanh(candidate) - h_{t-1}), gate and candidate come of both.

    Args:
        embedding: size of x_t.
        hidden: size of the states.
        nodes: each adds a state.
        concat: the states whose mean is h_t, 0 not among them.
        norm: normalisation of each state, 0 too.
        dropout_h: dropout of h_{t-1} and of the states, where they meet weights; one mask for all.
        dropout_x: dropout of x_t.
    """

    def __init__(
        self,
        embedding: int,
        hidden: int,
        nodes: Sequence[HighwayNode],
        concat: Sequence[int],
        norm: nn.Module,
        dropout_h: float,
        dropout_x: float,
    ) -> None:
        super().__init__()
        self.W0 = weights(embedding + hidden, 2 * hidden)
        self.nodes = nn.ModuleList(nodes)
        self.concat = tuple(concat)
        self.norm = norm
        self.dropout_h = dropout_h
        self.dropout_x = dropout_x

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """States (T, B, hidden) after inputs (T, B, embedding), from h (B, hidden) on."""
        if self.training and self.dropout_x:
            x = x * mask(x, x.shape[1:], self.dropout_x)
        h_mask = None
        if self.training and self.dropout_h:
            h_mask = mask(h, h.shape, self.dropout_h)

        def masked(s: Tensor) -> Tensor:
            return s if h_mask is None else s * h_mask

        W_x, W_h = self.W0.split([x.shape[-1], h.shape[-1]])
        highways = [Highways(cast(HighwayNode, node).W) for node in self.nodes]
        found = []
        for from_x in (x @ W_x).unbind():
            # Autocast multiplies in low precision; the states stay in their own.
            both = torch.addmm(from_x, masked(h), W_h).to(h.dtype)
            c, candidate = both.chunk(2, dim=-1)
            s = self.norm(torch.lerp(h, candidate.tanh(), c.sigmoid()))
            states, inputs = [s], [masked(s)]
            for node, highway in zip(self.nodes, highways, strict=True):
                s = self.norm(node(highway.of(states, inputs)))
                states.append(s)
                inputs.append(masked(s))
            h = torch.stack([states[i] for i in self.concat]).mean(0)
            found.append(h)
        return torch.stack(found)


class HighwayNode(nn.Module):
    """A node of the cell: its edges, and the weights W that they share.

    Args:
        hidden: size of the states.
        edges: maps the `Highways` of the earlier states to the node's: the edges that were chosen,
            or all that there are to choose from.
    """

    def __init__(self, hidden: int, edges: nn.Module) -> None:
        super().__init__()
        self.W = weights(hidden, 2 * hidden)
        self.edges = edges

    def forward(self, highways: Highways) -> Tensor:
        found: Tensor = self.edges(highways)
        return found


class Highways(Sequence[Highway]):
    """Highways of the earlier states, to which the edges of a node are applied.

    Gate and candidate are computed when they are asked for, as the node may have few edges. One
    object serves for all times of a sequence.

    Args:
        W: the node's weights, (hidden, 2 hidden).
    """

    def __init__(self, W: Tensor) -> None:
        self.W = W
        self.states: Sequence[Tensor] = []
        self.inputs: Sequence[Tensor] = []
        self._kept: Any = None

    def of(self, states: Sequence[Tensor], inputs: Sequence[Tensor]) -> Highways:
        """Highways of the states (B, hidden) of another time.

        Args:
            states: states that the highways carry on.
            inputs: the same after dropout, which W multiplies.
        """
        self.states, self.inputs = states, inputs
        return self

    def once(self, compute: Callable[[], T]) -> T:
        """Value that the node's edges share over all times: computed at the first."""
        if self._kept is None:
            self._kept = compute()
        return cast(T, self._kept)

    def stacked(self) -> Highway:
        """All highways as one, (number of states, B, hidden)."""
        return self._highway(torch.stack(list(self.states)), torch.stack(list(self.inputs)))

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, i: Any) -> Any:
        return self._highway(self.states[i], self.inputs[i])

    def _highway(self, state: Tensor, x: Tensor) -> Highway:
        c, candidate = (x @ self.W).to(state.dtype).chunk(2, dim=-1)
        return Highway(state, c.sigmoid(), candidate)


def weights(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-INIT_RANGE, INIT_RANGE))


def mask(like: Tensor, shape: Sequence[int], p: float) -> Tensor:
    """Dropout mask: 0 with probability p, else 1 / (1 - p); dtype and device of `like`."""
    return like.new_empty(shape).bernoulli_(1 - p) / (1 - p)


def check_language_model(
    vocabulary: Any, embedding: Any, hidden: Any, **dropouts: Any
) -> dict[str, Any]:
    """The arguments of a model, by name; ValueError where it cannot be built."""
    vocabulary = size("vocabulary", vocabulary, 2, limits.CLASSES)
    hidden = size("hidden", hidden, 1, limits.FEATURES)
    embedding = size("embedding", embedding, 1, limits.FEATURES)
    if embedding != hidden:
        raise ValueError(
            f"embedding must equal hidden, got embedding={embedding} and hidden={hidden}: "
            "the decoder shares the weights of the embedding"
        )
    sizes = {"vocabulary": vocabulary, "embedding": embedding, "hidden": hidden}
    return sizes | {name: number(name, p, PROBABILITY) for name, p in dropouts.items()}


def check_weights(num_nodes: int, vocabulary: int, hidden: int) -> int:
    """Check the number of weights; ValueError for too many."""
    total = vocabulary * (hidden + 1) + (2 + num_nodes) * 2 * hidden**2
    sizes = f"vocabulary {vocabulary}, hidden {hidden} and num_nodes {num_nodes}"
    require_affordable(total, sizes)
    return total


class DartsRNNNetwork(LanguageModel):
    """The language model that a recurrent genotype describes, to be trained from scratch.

    Args:
        genotype: genotype of a recurrent cell; its output may be the mean of a subset of its nodes.
        vocabulary: number of words, at least 2.
        embedding: size of their vectors; equal to `hidden`, as the decoder shares them.
        hidden: size of the state; the paper has 850 (Penn Treebank), 700 (WikiText-2).
        dropout_out: dropout of states before the decoder; all dropouts are probabilities in [0, 1).
        dropout_h: dropout of states within the cell where they meet weights; the paper has 0.15 on
            WikiText-2.
        dropout_x: dropout of the cell's input, after `dropout_i`.
        dropout_i: dropout of the embedded words.
        dropout_e: dropout of whole words.

    Raises:
        ValueError: an argument is out of its range, or the genotype is not of a recurrent cell.
    """

    def __init__(
        self,
        genotype: Genotype,
        vocabulary: int,
        embedding: int = 850,
        hidden: int = 850,
        dropout_out: float = 0.75,
        dropout_h: float = 0.25,
        dropout_x: float = 0.75,
        dropout_i: float = 0.2,
        dropout_e: float = 0.1,
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
        instance("genotype", genotype, Genotype, "a Genotype (a text is read by Genotype.parse)")
        kinds = [cell.kind for cell in genotype.cells]
        if kinds != ["recurrent"]:
            raise ValueError(f"a genotype of a recurrent cell is needed, got cells {kinds}")
        check_weights(len(genotype.recurrent.nodes), arguments["vocabulary"], hidden)
        super().__init__()
        self.genotype = genotype
        self._arguments = arguments
        nodes = [
            HighwayNode(
                hidden,
                ChosenEdges([edge(e.operation) for e in chosen], [e.source for e in chosen]),
            )
            for chosen in genotype.recurrent.nodes
        ]
        self.build(nodes, genotype.recurrent.concat, nn.Identity(), **arguments)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that build this network again, with its genotype."""
        return dict(self._arguments)
