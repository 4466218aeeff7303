"""SkipDropout: dropout after the skip connections of a supernet (P-DARTS)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nni.nas.nn.pytorch import LayerChoice
from torch import nn

from nni_darts._common.checks import PROBABILITY
from nni_darts._common.schedule import Moment, Schedule, Scheduled, as_number, scheduled
from nni_darts.genotypes.pruning import SKIP


@dataclass(frozen=True)
class SkipDropout(Scheduled):
    """Dropout of single values after `skip_connect` of stride 1, in the supernet alone.

    From P-DARTS (arXiv 1904.12760, section 3.3): skip connections are the way of least resistance
    for the gradient, and crowd out the other operations. Those of stride 2 have weights and are
    left as they are; nothing is normalised after the dropout.

    Args:
        rate: in [0, 1): a number, [start, end] for start + (end - start) * epoch / epochs, or a
            schedule. At 0 nothing is drawn.
    """

    rate: float | Schedule = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", scheduled("skip_dropout", self.rate, PROBABILITY))

    @property
    def drops(self) -> bool:
        """True if there is anything to drop, at any time."""
        return isinstance(self.rate, Schedule) or self.rate > 0

    def put_into(self, supernet: nn.Module) -> None:
        """Put a dropout, still of rate 0, after the skip connections of a supernet."""
        for choice in [m for m in supernet.modules() if isinstance(m, LayerChoice)]:
            if SKIP in choice.names and type(choice[SKIP]) is nn.Identity:
                choice[SKIP] = _Dropout(0.0)

    def set_in(self, supernet: nn.Module, moment: Moment) -> None:
        """Drop at the rate of a moment from now on."""
        rate = as_number(self.at(moment).rate)
        for dropout in _dropouts(supernet):
            dropout.p = rate


class _Dropout(nn.Dropout):
    """Skip connection with dropout; the identity where nothing is dropped."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) if self.training and self.p > 0 else x


def _dropouts(supernet: nn.Module) -> Iterator[_Dropout]:
    return (module for module in supernet.modules() if isinstance(module, _Dropout))
