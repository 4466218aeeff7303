"""Selection: from a searched supernet to its best architectures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from nni_darts._common.checks import choice
from nni_darts.supernet.architectures import top_k
from nni_darts.supernet.mixed import MixedNode, Ranked
from nni_darts.supernet.restriction import Restriction

METRICS: Mapping[str, tuple[str, float]] = {
    "accuracy": ("val_acc", 1.0),
    "loss": ("val_loss", -1.0),
}
"""Metric -> the name that a validation step logs it under, and the sign that makes more better."""


class Validation(Protocol):
    """Validation of the supernet under restrictions; the supernet is as before afterwards."""

    def __call__(
        self, restrictions: Mapping[str, Restriction], metric: str, batches: int | None = None
    ) -> float:
        """Return the score, higher for better, NaN counting as the worst.

        Args:
            restrictions: by the label of the choice; choices without one are mixed as ever.
            metric: one of `METRICS`.
            batches: how many validation batches at most, the first ones; None for all.
        """


class Closing(ABC):
    """Work of a selection on a searched supernet before it ranks; made by `Selection.closing`.

    It may take further epochs, in which the weights are trained on, and the alphas unless they
    rest, by a fresh optimiser at a constant learning rate.
    """

    metric: str
    """One of `METRICS`, by which it decides."""
    epochs: int = 0
    """Further epochs that it takes."""
    learning_rate: float | None = None
    """Learning rate in these epochs; a tenth of the one that the search began with by default."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """True if nothing is left to decide."""

    @abstractmethod
    def at(self, epoch: int, validate: Validation) -> None:
        """Decide what is to be decided at the start of one of its epochs, from 0.

        If something is left then, it is called once more after the last epoch, with `epochs`.
        """

    @property
    def restrictions(self) -> Mapping[str, Restriction]:
        """Restrictions of the choices that are decided so far, by label."""
        return {}

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that was decided, in plain values, as they are put into JSON; empty before that."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""

    @abstractmethod
    def rank(self, supernet: nn.Module, limit: int) -> Ranked:
        """Return the ranking by what was decided, as `Selection` gives it without."""


class Selection(ABC):
    """A rule by which architectures are taken from a supernet."""

    @abstractmethod
    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        """Return (score, sample) of at most `limit` distinct architectures, best first.

        A sample has the labels that it decides; others keep what is most probable. It is asked for
        after every epoch, too, and must leave the supernet as it was.
        """

    @property
    def learns_alpha(self) -> bool:
        """False if the alphas are to stay as they were made."""
        return True

    def closing(self, supernet: nn.Module, seed: int) -> Closing | None:
        """Return what is to be done after the last epoch; None if the ranking alone decides.

        Args:
            supernet: before the first epoch.
            seed: for all that is drawn.

        Raises:
            ValueError: it cannot be done with the supernet.
        """
        return None


@dataclass(frozen=True)
class Strongest(Selection):
    """The most probable architectures under the alphas (paper, section 2.4).

    The score is the log probability of the choices made, at most 0.
    """

    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        return top_k(supernet, limit)


def require_whole_edges(supernet: nn.Module) -> None:
    """Raise ValueError for a supernet in which an edge without operations still passes something.

    Restrictions leave the bypass of partial channels and the weights of edges as they are, so that
    a supernet without an edge could not be measured.
    """
    nodes = [module for module in supernet.modules() if isinstance(module, MixedNode)]
    if any(node.edge_weights or list(node.edges) != node.choices for node in nodes):
        raise ValueError(
            "the selection measures the supernet without some of its edges, and with partial "
            "channels or weights of edges these are never quite gone; take selection strongest"
        )


def metric_of(value: object) -> str:
    """The metric; ValueError unless it is one of `METRICS`."""
    return choice("metric", value, METRICS)
