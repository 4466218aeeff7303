"""Mixing weights of a supernet by label, and its best architectures."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nni_darts.supernet import mixture
from nni_darts.supernet.choices import Choices, alphas
from nni_darts.supernet.decisions import rank
from nni_darts.supernet.mixed import MixedNode, Ranked


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


def top_k(root: nn.Module, limit: int) -> Ranked:
    """The `limit` most probable distinct architectures of a supernet, best first.

    The score of an architecture is the sum of the log probabilities of its choices, each label
    counted once, wherever it stands; what the architecture does not contain (a block beyond the
    chosen depth, the candidates not taken) does not count, so that no network is listed twice.

    Raises:
        ValueError: one label stands for choices that differ, or so many choices depend on each
            other that an exact ranking would take too long.
    """
    choices = Choices()
    ranked = rank(choices.parts([root]), choices.scores, limit)
    return [(score, choices.sample(decided)) for score, decided in ranked]
