"""Early stop of a search by the curvature of its loss: the rule of Robust-DARTS, on numbers.

Zela et al., ICLR 2020, arXiv 1909.09656, 4.3: where the largest eigenvalue of d2_alpha L_val
(`nni_darts.search.eigenvalue`) grows fast, what is derived from the alphas is poor. With
lambda(i) the mean of the eigenvalue over `window` values around i, the search ends when

    lambda(i - lag) / lambda(i) < ratio

and hands on the architecture of i - lag. Neither torch nor NNI is needed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, NamedTuple

from pydantic import Field

from nni_darts._common import limits
from nni_darts._common.fields import Epochs, Number, Warmup, Whole
from nni_darts._common.validation import Frozen

__all__ = ["EarlyStop", "Turn", "Value"]


class Value(NamedTuple):
    """An eigenvalue."""

    epoch: int
    """Counted from 0."""
    number: float


class Turn(NamedTuple):
    """The moment at which a search has gone too far."""

    epoch: int
    """Last epoch, counted from 0."""
    back: int
    """The epoch whose architecture is handed on: the middle of the earlier window."""
    before: float
    """Mean of the earlier window."""
    now: float
    """Mean of the last window."""

    @property
    def text(self) -> str:
        """Line that tells the growth in numbers; epochs are counted from 1."""
        return (
            f"the mean largest eigenvalue of the Hessian of L_val is {self.now:.3g}, "
            f"from {self.before:.3g} around epoch {self.back + 1}"
        )


class EarlyStop(Frozen):
    """Rule that ends a search and goes back.

    The defaults are the paper's, with a value for every epoch. Its code has another rule: a value
    every 2 epochs, lag 4 (in values: 8 epochs), ratio 1 / 1.3; and it alone says `after`.
    """

    window: Annotated[Whole, Field(ge=1, le=limits.EPOCHS)] = 5
    """Values that a mean is of; values, not epochs, where not every epoch has one."""
    lag: Epochs = 5
    """Values by which the earlier window lies before the last one."""
    ratio: Annotated[Number, Field(gt=0, lt=1)] = 0.75
    """Ratio of the earlier mean to the last one below which the search ends."""
    after: Warmup = 10
    """Epochs at the start whose architectures are never gone back to."""

    @property
    def needed(self) -> int:
        """Number of the last values that decide."""
        return self.window + self.lag

    def reached(self, values: Sequence[Value]) -> Turn | None:
        """The turn with the last of the values, in their order; None where there is none.

        A value that is no finite number is left out. A mean that is not positive has not grown.
        """
        known = [value for value in values if math.isfinite(value.number)][-self.needed :]
        if len(known) < self.needed:
            return None
        before = fmean(value.number for value in known[: self.window])
        now = fmean(value.number for value in known[-self.window :])
        back = known[(self.window - 1) // 2].epoch
        grown = now > 0 and before < self.ratio * now
        return Turn(known[-1].epoch, back, before, now) if grown and back >= self.after else None
