"""A training whose loss is not a number any more stops, and says so."""

from __future__ import annotations

import math

from torch import Tensor


class DivergedError(RuntimeError):
    """A loss is not finite any more."""


def require_finite(what: str, loss: Tensor, epoch: int, step: int) -> None:
    """Raise DivergedError where the loss, of one element, is NaN or infinite."""
    if not math.isfinite(value := float(loss.detach())):
        raise DivergedError(
            f"the {what} is {value} in epoch {epoch}, step {step}; it stops here, the last "
            "checkpoint is kept. A lower learning rate or a gradient clip may help"
        )
