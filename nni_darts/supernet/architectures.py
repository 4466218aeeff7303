"""Mixing weights of a supernet by label, and its best architectures."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import Tensor, nn

from nni_darts.supernet import mixture
from nni_darts.supernet.choices import Choices, alphas
from nni_darts.supernet.decisions import rank
from nni_darts.supernet.mixed import MixedNode, Ranked, Sample
from nni_darts.supernet.nni_cell import MixedCell
from nni_darts.supernet.restriction import Only, Restriction


def probabilities(root: nn.Module) -> dict[str, dict[Any, Tensor]]:
    """Probability of every choice under every label, with its graph to the alphas.

    Labels come in declaration order. NNI's `Cell` has an emulated `none` after its operations; it
    has no name and is left out, so that those of its edges sum to less than one.
    """
    found: dict[str, dict[Any, Tensor]] = {}
    for module in list[Any](root.modules()):
        for label, choices, alpha in alphas(module):
            if label not in found:
                found[label] = dict(
                    zip(choices, mixture.probabilities(module, alpha), strict=False)
                )
    return found


def each_alpha(root: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    """Alphas of a supernet, each once, with a mixed module that has it; in declaration order."""
    found: dict[int, tuple[nn.Module, Tensor]] = {}
    for module in root.modules():
        for _, _, alpha in alphas(module):
            found.setdefault(id(alpha), (module, alpha))
    return list(found.values())


def edge_weights(root: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Weight of every edge by its label, under the label of its node, with its graph to the betas.

    Only nodes with edge weights are there, in declaration order.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for node in root.modules():
        if isinstance(node, MixedNode) and (weights := node.weights()) is not None:
            labels = [edge.label for edge in node.choices]
            found.setdefault(node.choice.label, dict(zip(labels, weights, strict=True)))
    return found


def by_label(root: nn.Module) -> dict[str, Tensor]:
    """The alpha of each label; in declaration order."""
    found: dict[str, Tensor] = {}
    for module in root.modules():
        for label, _, alpha in alphas(module):
            found.setdefault(label, alpha)
    return found


def top_k(root: nn.Module, limit: int, without: Collection[tuple[str, Any]] = ()) -> Ranked:
    """The `limit` most probable distinct architectures of a supernet, best first.

    Those of `without`, pairs of a label and a choice, have the probability 0; the others of the
    label keep theirs.

    The score of an architecture is the sum of the log probabilities of its choices, each label
    counted once, wherever it stands; what the architecture does not contain (a block beyond the
    chosen depth, the candidates not taken) does not count, so that no network is listed twice.

    Raises:
        ValueError: one label stands for choices that differ, or so many choices depend on each
            other that an exact ranking would take too long.
    """
    choices = Choices(without)
    ranked = rank(choices.parts([root]), choices.scores, limit)
    return [(score, choices.sample(decided)) for score, decided in ranked]


@dataclass(frozen=True)
class Drawn:
    """An architecture of a supernet, drawn at random."""

    sample: Sample
    restrictions: dict[str, Restriction]
    """Restrictions by label, with which the supernet computes what the architecture does."""


def drawn(root: nn.Module, chance: Random) -> Drawn:
    """An architecture drawn from the probabilities of a supernet's choices.

    By Gumbel noise on the logarithms, of which the largest is taken: an option of each label by its
    probability; edges of a node one after the other, without putting back, by the probability that
    they are not none.
    """
    choices = Choices()
    parts = choices.parts([root])
    noisy = {label: [s + _gumbel(chance) for s in row] for label, row in choices.scores.items()}
    ((_, decided),) = rank(parts, noisy, 1)
    restrictions: dict[str, Restriction] = {
        label: Only(value if isinstance(value, tuple) else (value,))
        for label, value in decided.items()
        if label in choices.scores
    }
    return Drawn(
        choices.sample(decided),
        {**{edge: Only(()) for edge in _edges(root) if edge not in decided}, **restrictions},
    )


def _gumbel(chance: Random) -> float:
    return -math.log(max(chance.expovariate(1.0), sys.float_info.min))


def _edges(root: nn.Module) -> list[str]:
    """Labels of all edges into nodes, which an architecture may have or not."""
    found: dict[str, None] = {}
    for module in root.modules():
        if isinstance(module, MixedNode):
            found |= dict.fromkeys(edge.label for edge in module.choices)
        elif isinstance(module, MixedCell):
            found |= dict.fromkeys(label for label, _, _ in alphas(module))
    return list(found)
