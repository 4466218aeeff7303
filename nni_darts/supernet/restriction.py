"""Restrictions of a choice: what is left of its mixing weights. Pure Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


class Restriction(ABC):
    """A limit on the mixing weights of a choice: they become weights * factor + constant."""

    @abstractmethod
    def parts(self, choices: int) -> tuple[list[float], list[float]]:
        """Return the factor and the constant of each of so many weights."""


@dataclass(frozen=True)
class Without(Restriction):
    """One option has no weight, and the others have theirs: they are not normalised anew."""

    option: int

    def parts(self, choices: int) -> tuple[list[float], list[float]]:
        return [float(i != self.option) for i in range(choices)], [0.0] * choices


@dataclass(frozen=True)
class Only(Restriction):
    """The options that are chosen have weight 1, all others 0; none may be chosen."""

    options: tuple[int, ...]

    def parts(self, choices: int) -> tuple[list[float], list[float]]:
        return [0.0] * choices, [float(i in self.options) for i in range(choices)]
