"""The operations of the recurrent DARTS cell (paper, section 3.1.2), by name.

An edge with the operation f maps state s to s + gate * (f(candidate) - s), where gate and candidate
come of s by weights of the edge's target. To search over an operation of your own, add it to
`ACTIVATIONS` and name it in the space's `primitives`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nni_darts._common.messages import unknown
from nni_darts.genotypes.genotype import RNN_PRIMITIVES

NONE = RNN_PRIMITIVES[0]

Activation = Callable[[Tensor], Tensor]
"""Function from (..., hidden) to the same shape, by number or by vector: the edges of a node
may be mapped all at once."""


def identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Activation] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": identity,
}


class Highway(NamedTuple):
    """State, gate and candidate to which an edge is applied; all (B, hidden)."""

    state: Tensor
    gate: Tensor
    """Share of the candidate that passes, in (0, 1)."""
    candidate: Tensor


class Activated(nn.Module):
    """An edge with an operation other than `none`."""

    def __init__(self, name: str) -> None:
        if name not in ACTIVATIONS:
            raise ValueError(unknown("primitive", name, [NONE, *ACTIVATIONS]))
        super().__init__()
        self.name = name
        self.activation = ACTIVATIONS[name]

    def forward(self, x: Highway) -> Tensor:
        return torch.lerp(x.state, self.activation(x.candidate), x.gate)

    def extra_repr(self) -> str:
        return self.name


class Zero(nn.Module):
    """The operation `none`: no connection."""

    def forward(self, x: Highway) -> Tensor:
        return torch.zeros_like(x.state)


def edge(name: str) -> nn.Module:
    """Edge with an operation; ValueError for an unknown name."""
    return Zero() if name == NONE else Activated(name)
