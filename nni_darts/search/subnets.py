"""Selection among architectures that are drawn from the alphas and validated by shared weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import nn

from nni_darts._common import limits
from nni_darts._common.checks import size
from nni_darts.search.selection import (
    Closing,
    Selection,
    Validation,
    metric_of,
    require_whole_edges,
)
from nni_darts.supernet.architectures import Drawn, drawn, top_k
from nni_darts.supernet.mixed import Ranked

LEAST_TRIES = 100


@dataclass(frozen=True)
class Subnets(Selection):
    """The best of `count` architectures that are drawn from the alphas' probabilities.

    After the search each of them, all distinct, is validated with the supernet's weights: the
    choices made have mixing weight 1, all others 0. The score is the validation accuracy, or the
    loss with its sign turned. Until then the most probable architectures are ranked.

    Args:
        count: how many are drawn, at least 1; fewer where only known ones come up any more.
        batches: how many validation batches they are compared on, None for all.
        metric: "accuracy", the `val_acc` that the validation step logs, or "loss", its `val_loss`.
    """

    count: int = 20
    batches: int | None = None
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        size("count", self.count, 1, limits.ARCHITECTURES)
        if self.batches is not None:
            size("batches", self.batches, 1, limits.STEPS)
        metric_of(self.metric)

    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        return top_k(supernet, limit)

    def closing(self, supernet: nn.Module, seed: int) -> Closing:
        require_whole_edges(supernet)
        return _Comparing(self, supernet, seed)


class _Comparing(Closing):
    """The comparison of a selection among drawn architectures."""

    def __init__(self, selection: Subnets, supernet: nn.Module, seed: int) -> None:
        self.selection = selection
        self.metric = selection.metric
        self.supernet = supernet
        self.seed = seed
        self._ranked: Ranked = []

    @property
    def done(self) -> bool:
        return bool(self._ranked)

    def at(self, epoch: int, validate: Validation) -> None:
        found = several(self.supernet, self.selection.count, Random(self.seed))
        scores = [
            validate(each.restrictions, self.metric, self.selection.batches) for each in found
        ]
        # Equal ones as they were drawn.
        order = sorted(range(len(found)), key=lambda i: -scores[i])
        self._ranked = [(scores[i], found[i].sample) for i in order]

    @property
    def state(self) -> dict[str, Any]:
        if not self._ranked:
            return {}
        drawn = [{"score": score, "sample": sample} for score, sample in self._ranked]
        return {"metric": self.metric, "seed": self.seed, "subnets": drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.seed = state["seed"]
        self._ranked = [(each["score"], each["sample"]) for each in state["subnets"]]

    def rank(self, supernet: nn.Module, limit: int) -> Ranked:
        return self._ranked[:limit] if self._ranked else self.selection(supernet, limit)


def several(supernet: nn.Module, count: int, chance: Random) -> list[Drawn]:
    """Distinct architectures, drawn one after the other, `count` where draws do not repeat.

    It gives up after a hundred draws in a row, or `count`, that were all known: the space has no
    more, or the alphas leave nothing to chance.
    """
    found: dict[str, Drawn] = {}
    repeated = 0
    while len(found) < count and repeated < max(count, LEAST_TRIES):
        each = drawn(supernet, chance)
        key = json.dumps(each.sample, sort_keys=True, default=str)
        repeated = repeated + 1 if key in found else 0
        found.setdefault(key, each)
    return list(found.values())
