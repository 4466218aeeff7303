"""PDarts: the progressive search of P-DARTS."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nni_darts._common import limits
from nni_darts._common.checks import PROBABILITY, number, size
from nni_darts._common.messages import shown
from nni_darts._common.schedule import Moment, Schedule
from nni_darts.genotypes.cell import NONE
from nni_darts.genotypes.pruning import SKIP, likeliest
from nni_darts.search.progressive import Kept, Progressive, SearchStage

T = TypeVar("T")


@dataclass(frozen=True)
class SkipDecay(Schedule):
    """The rate of P-DARTS's dropout after skip connections, with the jump that its code has.

    While alpha rests, rate * (epochs - 1 - epoch) / epochs: it falls, but not to 0. When alpha
    begins to learn, it jumps back to the rate and falls by exp(-0.2 (epoch - warmup)).

    Args:
        rate: in [0, 1).
        warmup: epochs in which alpha rests.
    """

    rate: float
    warmup: int

    def __call__(self, moment: Moment) -> float:
        if moment.epoch < self.warmup:
            return self.rate * (moment.epochs - 1 - moment.epoch) / moment.epochs
        return self.rate * math.exp(-(moment.epoch - self.warmup) * 0.2)

    def bounds(self) -> tuple[float, float]:
        return self.rate, 0.0


@dataclass(frozen=True)
class PDarts(Progressive):
    """Three searches, of deeper networks and fewer operations each (P-DARTS).

    Chen, Xie, Wu and Tian, ICCV 2019, arXiv 1904.12760; details that the paper leaves open are
    those of the authors' code. After each stage an edge keeps its likeliest operations by the
    softmax of its own alphas, `none` like any other. The last stage is derived as in DARTS, `none`
    excluded, with a limit of skip connections in the normal cell
    (`nni_darts.search.skip_limit.SkipLimit`); so are the genotypes after every epoch.

    The lists have an entry for each stage.

    Args:
        cells: cells of the network.
        keep: operations of each edge in the stage, falling; the first is the number that the space
            has, and the last leaves one besides none and skip_connect.
        epochs: epochs of each stage.
        warmup: epochs at the start of each stage in which alpha rests.
        skip_dropout: rates of the dropout after skip connections, each as of `SkipDecay`. The
            authors' code has 0 by default, and [0.1, 0.4, 0.7] on the command line of its README;
            the paper says [0, 0.4, 0.7] on CIFAR-10.
        max_skips: skip connections of the normal cell; None for no limit.

    Raises:
        ValueError: in one line, for what is no such search.
    """

    cells: Sequence[int] = (5, 11, 17)
    keep: Sequence[int] = (8, 5, 3)
    epochs: int = 25
    warmup: int = 10
    skip_dropout: Sequence[float] = (0.0, 0.4, 0.7)
    max_skips: int | None = 2

    def __post_init__(self) -> None:
        cells = _each("cells", self.cells, lambda name, n: size(name, n, 3, limits.CELLS))
        keep = _each("keep", self.keep, lambda name, n: size(name, n, 1, math.inf))
        rates = _each(
            "skip_dropout", self.skip_dropout, lambda name, r: number(name, r, PROBABILITY)
        )
        for name, others in (("keep", keep), ("skip_dropout", rates)):
            if len(others) != len(cells):
                raise ValueError(
                    f"{name} must have an entry for each stage, {len(cells)} as cells has, got "
                    f"{len(others)}"
                )
        if any(a <= b for a, b in itertools.pairwise(keep)):
            raise ValueError(f"keep must fall from stage to stage, got {list(keep)}")
        epochs = size("epochs", self.epochs, 1, limits.EPOCHS)
        warmup = size("warmup", self.warmup, 0, limits.EPOCHS)
        if warmup >= epochs:
            raise ValueError(
                f"warmup must be below epochs, {epochs}, so that alpha is learnt at all, got "
                f"{warmup}"
            )
        if self.max_skips is not None:
            size("max_skips", self.max_skips, 0, math.inf)
        values = {"cells": cells, "keep": keep, "skip_dropout": rates}
        for name, value in {**values, "epochs": epochs, "warmup": warmup}.items():
            object.__setattr__(self, name, value)

    @property
    def num_stages(self) -> int:
        return len(self.cells)

    @property
    def total_epochs(self) -> int:
        return self.num_stages * self.epochs

    def require(self, operations: Kept) -> None:
        first, last = self.keep[0], self.keep[-1]
        for label, names in operations.items():
            if len(names) != first:
                raise ValueError(
                    f"keep must begin with the number of operations that the space has on every "
                    f"edge, got {first} and {len(names)} on edge {label}"
                )
            # What cannot be chosen may be what an edge keeps.
            idle = [o for o in (NONE, *([] if self.max_skips is None else [SKIP])) if o in names]
            if last <= len(idle):
                raise ValueError(
                    f"keep must end with {len(idle) + 1} or more, so that every edge keeps an "
                    f"operation besides {' and '.join(idle)}, got {last}"
                )

    def stage(self, number: int, kept: Kept | None) -> SearchStage:
        rate = self.skip_dropout[number]
        selection = {"name": "skip_limit", "max_skips": self.max_skips}
        primitives = {} if kept is None else {"primitives": dict(kept)}
        return SearchStage(
            number,
            first_epoch=number * self.epochs,
            epochs=self.epochs,
            space={"num_cells": self.cells[number], **primitives},
            strategy={
                "warmup_epochs": self.warmup,
                "skip_dropout": SkipDecay(rate, self.warmup) if rate else 0.0,
                "selection": "strongest" if self.max_skips is None else selection,
            },
        )

    def kept(self, number: int, probabilities: Mapping[str, Mapping[str, float]]) -> Kept:
        return likeliest(probabilities, self.keep[number + 1])


def _each(name: str, values: object, checked: Callable[[str, Any], T]) -> tuple[T, ...]:
    """Entries of a list that a user gave, each checked."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"{name} must be a list, one entry for each stage, got {shown(values)}")
    return tuple(checked(name, value) for value in values)
