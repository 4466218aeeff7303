"""What networks are trained for: images, or text. What differs between the two hangs on this."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from nni_darts.genotype import Genotype


@dataclass(frozen=True)
class Metric:
    """What networks are compared by, of an epoch or in the end."""

    key: str
    """In reports and results: `val_KEY` on validation data, `train_KEY`, `test_KEY`."""
    name: str
    higher_is_better: bool
    written: Callable[[float], str]
    """For people."""
    least: float
    most: float
    """Its range."""

    @property
    def val(self) -> str:
        return f"val_{self.key}"

    @property
    def train(self) -> str:
        return f"train_{self.key}"

    @property
    def test(self) -> str:
        return f"test_{self.key}"

    @property
    def mode(self) -> str:
        """As Lightning has it."""
        return "max" if self.higher_is_better else "min"

    @property
    def optimize_mode(self) -> str:
        """As NNI has it."""
        return f"{self.mode}imize"

    def cost(self, value: float | None) -> float:
        """To sort by: the best is the lowest; the worst is what has no value, or NaN."""
        if value is None or math.isnan(value):
            return math.inf
        return -value if self.higher_is_better else value

    def best(self, values: Iterable[float]) -> int:
        """The position of the best value, the first of equal ones."""
        costs = [self.cost(value) for value in values]
        return costs.index(min(costs))

    def spread(self, mean: float, deviation: float | None) -> str:
        """A mean with its standard deviation, if there is one."""
        text = self.written(mean)
        if deviation is None:
            return text
        unit = "%" * text.endswith("%")
        return f"{text.removesuffix('%')} +- {self.written(deviation).removesuffix('%')}{unit}"


ACCURACY = Metric("acc", "accuracy", True, "{:.2%}".format, 0.0, 1.0)
"""Share of the images that are right, in [0, 1]."""
PERPLEXITY = Metric("ppl", "perplexity", False, "{:.2f}".format, 1.0, sys.float_info.max)
"""exp of the mean cross entropy (nats) of a word; at least 1."""


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

        `nni_darts.image_parts` and `nni_darts.text_parts` have the same functions.
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
    "nni_darts.image_parts",
    "multiply-adds of one image: one for each multiplication by a weight of a convolution or a "
    "linear layer; normalisation, pooling, additions and the auxiliary head are not counted",
)
TEXT = Task(
    "text",
    PERPLEXITY,
    ("recurrent",),
    "a genotype of a recurrent cell",
    "nni_darts.text_parts",
    "multiply-adds of one word: one for each multiplication by a weight of the cell or the "
    "decoder; gates, activations and additions are not counted",
    ("alice", "ptb", "wikitext2", "text"),
)
TASKS = (IMAGES, TEXT)


def of_data(name: str) -> Task:
    """The task that a data set is for; a class of the user's own is of images."""
    return TEXT if name in TEXT.data else IMAGES


def metric_of(report: Container[Any]) -> Metric:
    """What the `default` of a report or a result, by its names, is; an accuracy if unsaid."""
    names = (PERPLEXITY.val, PERPLEXITY.train, PERPLEXITY.test)
    return PERPLEXITY if any(name in report for name in names) else ACCURACY
