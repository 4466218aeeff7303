"""The metrics that networks are compared by."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """Metric by which networks are compared, after an epoch or at the end."""

    key: str
    """Name in reports and results: `val_KEY` on validation data, `train_KEY`, `test_KEY`."""
    name: str
    higher_is_better: bool
    written: Callable[[float], str]
    """Value as displayed, e.g. "97.31%"."""
    least: float
    most: float
    """Upper bound; `least` is the lower one."""

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
        """Mode of the metric in Lightning's words."""
        return "max" if self.higher_is_better else "min"

    @property
    def optimize_mode(self) -> str:
        """Mode of the metric in NNI's words."""
        return f"{self.mode}imize"

    def cost(self, value: float | None) -> float:
        """Sort key: the best value is the lowest; a missing value or NaN is the worst."""
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


def metric_of(report: Container[Any]) -> Metric:
    """Metric that is the `default` of a report or result, told by its names; else accuracy."""
    names = (PERPLEXITY.val, PERPLEXITY.train, PERPLEXITY.test)
    return PERPLEXITY if any(name in report for name in names) else ACCURACY
