"""The stages of the protocol."""

from __future__ import annotations

from enum import Enum


class Stage(str, Enum):
    """A stage, in the order in which an experiment goes through them.

    It equals its name, which is what files, settings and reports hold.
    """

    SEARCH = "search"
    SELECT = "select"
    """Each genotype that was found is trained briefly, and the best on validation data chosen."""
    EVALUATE = "evaluate"
    """The genotype that was chosen is trained in full and tested."""

    def __str__(self) -> str:
        return self.value

    @property
    def number(self) -> int:
        """Place of the stage in the order, from 0."""
        return list(Stage).index(self)


TRAININGS = (Stage.SELECT, Stage.EVALUATE)
"""The stages that train a genotype from scratch."""
