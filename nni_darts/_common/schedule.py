"""Schedules: options of a method that change with the epochs of a search."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from nni_darts._common import limits
from nni_darts._common.checks import Range, number, size
from nni_darts._common.messages import shown

P = TypeVar("P", bound="Scheduled")

FINITE = Range("a finite number", math.isfinite)


class Moment(NamedTuple):
    """A moment of a search."""

    epoch: int
    """Epoch, from 0."""
    epochs: int
    """Epochs of the whole search, above `epoch`."""


class Schedule(ABC):
    """A number for every epoch of a search."""

    @abstractmethod
    def __call__(self, moment: Moment) -> float:
        """Return the number at a moment."""

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Return the number at the start and the number that it tends to."""


@dataclass(frozen=True)
class Linear(Schedule):
    """start + (end - start) * epoch / epochs: `end` is what the number tends to.

    With `reached` it is divided by epochs - 1, so that the last epoch has `end`.
    """

    start: float
    end: float
    reached: bool = False

    def __call__(self, moment: Moment) -> float:
        last = moment.epochs - 1 if self.reached else moment.epochs
        return self.start + (self.end - self.start) * (moment.epoch / last if last else 0.0)

    def bounds(self) -> tuple[float, float]:
        return self.start, self.end


@dataclass(frozen=True)
class WarmUp(Schedule):
    """0 in the first epochs, in which something rests, and 1 from then on.

    Raises:
        ValueError: `epochs` is out of its range.
    """

    epochs: int

    def __post_init__(self) -> None:
        size("epochs", self.epochs, 0, limits.EPOCHS)

    def __call__(self, moment: Moment) -> float:
        return float(moment.epoch >= self.epochs)

    def bounds(self) -> tuple[float, float]:
        return float(self.epochs == 0), 1.0


class Scheduled:
    """A part of a method, a frozen dataclass, whose options may be schedules."""

    def at(self: P, moment: Moment) -> P:
        """Return the part as it is at a moment, with numbers in place of its schedules."""
        now = self.scheduled_at(moment)
        return dataclasses.replace(self, **now) if now else self  # type: ignore[type-var]

    def scheduled_at(self, moment: Moment) -> dict[str, float]:
        """Return the numbers that those options have at a moment that are schedules."""
        return {n: o(moment) for n, o in _options(self).items() if isinstance(o, Schedule)}

    @property
    def changes(self) -> bool:
        """True if an option is a schedule."""
        return any(isinstance(option, Schedule) for option in _options(self).values())


def _options(part: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(part):
        return {}
    return {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}


def scheduled(name: str, value: Any, valid: Range, reached: bool = False) -> float | Schedule:
    """Number or schedule that a user gave for an option: a number, [start, end] or an object.

    Args:
        name: of the option.
        value: what was given.
        valid: range of the number, at both ends of a schedule.
        reached: whether the last epoch of [start, end] has `end` (see `Linear`).

    Raises:
        ValueError: in one line, it is of another form or out of its range.
    """
    if isinstance(value, Schedule):
        for bound in value.bounds():
            number(name, bound, valid)
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ValueError(
                f"{name} must be a number, or [start, end] for one that changes with the epochs, "
                f"got {shown(value)}"
            )
        start, end = (number(name, bound, valid) for bound in value)
        return Linear(start, end, reached)
    return number(name, value, valid)


def as_number(option: float | Schedule) -> float:
    """Number of an option of a part that is `at` a moment.

    Raises:
        TypeError: it is a schedule still.
    """
    if isinstance(option, Schedule):
        raise TypeError(f"{option!r} has no value but at a moment; ask the part for that, by `at`")
    return option


def falling(name: str, value: float | Schedule) -> float | Schedule:
    """Number, or a schedule that does not rise.

    Raises:
        ValueError: in one line, its end is above its start.
    """
    if isinstance(value, Schedule):
        start, end = value.bounds()
        if end > start:
            raise ValueError(f"{name} must fall, or stay, from start to end, got {start} to {end}")
    return value
