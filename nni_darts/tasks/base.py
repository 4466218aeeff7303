"""What networks are trained for: images, or text. What differs between the two hangs on this."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from nni_darts._common.metric import ACCURACY, PERPLEXITY, Metric
from nni_darts.genotypes.genotype import Genotype


@dataclass(frozen=True)
class Task:
    """What a run is for."""

    name: str
    metric: Metric
    cells: tuple[str, ...]
    """The kinds of cells that its genotypes have."""
    what: str
    """Such genotypes, in words."""
    module: str
    """Where its parts are made, see `parts`."""
    counted: str
    """What the multiply-adds of its networks are."""
    data: tuple[str, ...] = ()
    """Its data sets by name; where none are named, all that are of no other task."""

    @property
    def cells_in_words(self) -> list[str]:
        return [{"reduce": "reduction"}.get(kind, kind) for kind in self.cells]

    @property
    def parts(self) -> Any:
        """The module that makes data, recipes and networks: it needs torch, so it is asked for.

        `nni_darts.tasks.images.task` and `nni_darts.tasks.language.task` have the same functions.
        """
        return importlib.import_module(self.module)

    def require(self, genotype: Genotype) -> None:
        """ValueError where the genotype is not of this task's cells."""
        kinds = tuple(cell.kind for cell in genotype.cells)
        if kinds != self.cells:
            other = next((task.what for task in TASKS if task.cells == kinds), " and ".join(kinds))
            hint = f" (data {', '.join(TEXT.data)})" if self is IMAGES else ""
            raise ValueError(
                f"{self.what} is needed for {self.name}, got {other}; choose another genotype or "
                f"other data{hint}"
            )


IMAGES = Task(
    "images",
    ACCURACY,
    ("normal", "reduce"),
    "a genotype of convolutional cells (normal and reduction)",
    "nni_darts.tasks.images.task",
    "multiply-adds of one image: one for each multiplication by a weight of a convolution or a "
    "linear layer; normalisation, pooling, additions and the auxiliary head are not counted",
)
TEXT = Task(
    "text",
    PERPLEXITY,
    ("recurrent",),
    "a genotype of a recurrent cell",
    "nni_darts.tasks.language.task",
    "multiply-adds of one word: one for each multiplication by a weight of the cell or the "
    "decoder; gates, activations and additions are not counted",
    ("alice", "ptb", "wikitext2", "text"),
)
TASKS = (IMAGES, TEXT)


def of_data(name: str) -> Task:
    """The task that a data set is for; a class of the user's own is of images."""
    return TEXT if name in TEXT.data else IMAGES
