"""SkipLimit: the most probable architectures among those of few skip connections."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from torch import nn

from nni_darts._common import limits
from nni_darts._common.checks import size
from nni_darts.genotypes.pruning import SKIP, surplus_skips
from nni_darts.history.record import CellEdge, place_of
from nni_darts.search.selection import Selection
from nni_darts.supernet.architectures import probabilities, top_k
from nni_darts.supernet.mixed import Ranked, Sample


@dataclass(frozen=True)
class SkipLimit(Selection):
    """The most probable architectures with at most `max_skips` skip connections in the normal cell.

    From P-DARTS (arXiv 1904.12760, section 3.3): while the best architecture has more, the weakest
    skip connection of its normal cell gets the probability 0, and edges and operations are chosen
    again. The skip connections that went so are in none of the architectures; of those that are
    left, the ones with too many are passed over. The reduction cell has no limit.

    Args:
        max_skips: at least 0; published: 2.

    Raises:
        ValueError: max_skips is below 0; asked for architectures, also where the space has no
            normal cell, or a node has not enough edges with another operation.
    """

    max_skips: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_skips", size("max_skips", self.max_skips, 0, math.inf))

    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        edges = {label: row for label, row in probabilities(supernet).items() if _is_normal(label)}
        if not edges:
            raise ValueError(
                "a limit of skip connections is for spaces of normal and reduction cells, whose "
                "edges have labels like normal_2_0; choose another selection"
            )

        def skips(sample: Sample) -> list[str]:
            return [label for label in edges if sample.get(label) == SKIP]

        def chosen(removed: Collection[str]) -> dict[str, float]:
            ((score, sample),) = top_k(supernet, 1, _skips_of(removed))
            if score == -math.inf and removed:
                raise ValueError(
                    f"no architecture has at most {self.max_skips} skip connections in its normal "
                    f"cell: too few edges have an operation besides none and {SKIP}; raise "
                    "max_skips"
                )
            return {label: edges[label][SKIP].item() for label in skips(sample)}

        without = _skips_of(surplus_skips(chosen, self.max_skips))
        count = limit
        while True:
            ranked = top_k(supernet, count, without)
            found = [each for each in ranked if len(skips(each[1])) <= self.max_skips]
            if len(found) >= limit or len(ranked) < count or count >= limits.ARCHITECTURES:
                return found[:limit]
            count = min(2 * count, limits.ARCHITECTURES)


def _is_normal(label: str) -> bool:
    place = place_of(label)
    return isinstance(place, CellEdge) and place.kind == "normal"


def _skips_of(labels: Collection[str]) -> set[tuple[str, str]]:
    return {(label, SKIP) for label in labels}
