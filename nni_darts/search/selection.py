"""Selection: from a searched supernet to its best architectures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn

from nni_darts.supernet.architectures import top_k
from nni_darts.supernet.mixed import Ranked


class Selection(ABC):
    """A rule by which architectures are taken from a supernet."""

    @abstractmethod
    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        """Return (score, sample) of at most `limit` distinct architectures, best first.

        A sample has the labels that it decides; others keep what is most probable. It is asked for
        after every epoch, too, and must leave the supernet as it was.
        """


@dataclass(frozen=True)
class Strongest(Selection):
    """The most probable architectures under the alphas (paper, section 2.4).

    The score is the log probability of the choices made, at most 0.
    """

    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        return top_k(supernet, limit)
