"""Stop of a training whose loss is no finite number any more."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


class DivergedError(RuntimeError):
    """A loss is not finite any more."""


def require_finite(what: str, loss: Tensor, epoch: int, step: int) -> None:
    """Raise DivergedError where the loss, of one element, is NaN or infinite."""
    _require(what, float(loss.detach()), epoch, step)


def on_the_cpu(loss: Tensor) -> bool:
    return loss.device.type == "cpu"


class FiniteWatch:
    """Sees to it that losses are finite, without waiting for the device that computes them.

    On the CPU, where there is nothing to wait for, it raises at once. Elsewhere it keeps the
    losses, of one element each, and looks at many of them together: DivergedError names the epoch
    and step of the first that is not finite, some steps late. `raise_if_bad` must be called before
    anything that comes of these steps is kept.

    Args:
        every: highest number of losses kept.
        at_once: whether a loss can be looked at without waiting.
    """

    def __init__(self, every: int = 100, at_once: Callable[[Tensor], bool] = on_the_cpu) -> None:
        self.every = every
        self.at_once = at_once
        self._kept: list[tuple[str, Tensor, int, int]] = []

    def record(self, what: str, loss: Tensor, epoch: int, step: int) -> None:
        """Record a loss; a bad one raises DivergedError, now or in `raise_if_bad`."""
        if self.at_once(loss):
            require_finite(what, loss, epoch, step)
            return
        self._kept.append((what, loss.detach(), epoch, step))
        if len(self._kept) >= self.every:
            self.raise_if_bad()

    def raise_if_bad(self) -> None:
        """Wait for the losses that are kept, and raise DivergedError for the first bad one."""
        kept, self._kept = self._kept, []
        if not kept:
            return
        values = torch.stack([loss.reshape(()).double() for _, loss, _, _ in kept]).tolist()
        for (what, _, epoch, step), value in zip(kept, values, strict=True):
            _require(what, value, epoch, step)


def _require(what: str, value: float, epoch: int, step: int) -> None:
    if not math.isfinite(value):
        raise DivergedError(
            f"the {what} is {value} in epoch {epoch}, step {step}; it stops here, the last "
            "checkpoint is kept. A lower learning rate or a gradient clip may help"
        )
