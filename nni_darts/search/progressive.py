"""Progressive searches: searches one after the other, each of a space that the one before has cut.

A stage is a search of its own: a new supernet, whose weights and alphas start afresh. Neither torch
nor NNI is needed here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from nni_darts.history.record import CellEdge, place_of

__all__ = ["Kept", "Progressive", "SearchStage", "edges_in"]

Kept: TypeAlias = "Mapping[str, Sequence[str]]"
"""Operations that each edge has left, by its label."""


@dataclass(frozen=True)
class SearchStage:
    """One of the searches."""

    number: int
    """Counted from 0."""
    first_epoch: int
    """Epochs of the stages before it."""
    epochs: int
    space: Mapping[str, Any]
    """Arguments of the space that the stage sets."""
    strategy: Mapping[str, Any]
    """Arguments of `UnrolledDARTS` that the stage sets."""


class Progressive(ABC):
    """A rule by which a search goes on in stages."""

    @property
    @abstractmethod
    def num_stages(self) -> int:
        """Return the number of stages, at least 1."""

    @property
    @abstractmethod
    def total_epochs(self) -> int:
        """Return the number of epochs of all stages together."""

    @abstractmethod
    def require(self, operations: Kept) -> None:
        """Raise ValueError, in one line, for edges that cannot be searched so.

        Args:
            operations: those of the space before the first stage.
        """

    @abstractmethod
    def stage(self, number: int, kept: Kept | None) -> SearchStage:
        """Return a stage, counted from 0.

        Args:
            number: of the stage.
            kept: operations that the stage before it left; None in the first one.
        """

    @abstractmethod
    def kept(self, number: int, probabilities: Mapping[str, Mapping[str, float]]) -> Kept:
        """Return the operations that a stage leaves.

        Args:
            number: of the stage.
            probabilities: edge -> operation -> its mixing weight at the end of the stage.
        """


def edges_in(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of a space's labels that are edges of cells, like `normal_2_0`."""
    return {label: v for label, v in labels.items() if isinstance(place_of(label), CellEdge)}
