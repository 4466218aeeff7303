"""Made-up searches of spaces without cells, or with other choices besides."""

from __future__ import annotations

import math
import random
from typing import Any

from flat_reports import flat_report

from nni_darts.genotypes.cell import PRIMITIVES

Report = dict[str, Any]

NAMES = [*PRIMITIVES, "a_candidate_with_a_name_that_is_very_long", "mine"]


def labels(count: int) -> list[str]:
    """Every third one is short."""
    long = "backbone_features_{}_mobile_inverted_bottleneck_{}"
    return [long.format(i, 7 * i) if i % 3 else f"s{i}_depth" for i in range(count)]


def choice_reports(epochs: int, count: int = 5) -> list[Report]:
    """Of that many choices of 2 to 10 candidates, which drift apart."""
    chance = random.Random(count)
    drift = {
        label: [chance.gauss(0, 0.3) for _ in range(2 + i % 9)]
        for i, label in enumerate(labels(count))
    }
    made = []
    for epoch in range(epochs):
        rows = {}
        for label, tends in drift.items():
            powers = [math.exp(tend * (epoch + 1)) for tend in tends]
            row = [power / sum(powers) for power in powers]
            rows[label] = dict(zip(NAMES[-len(row) :], row, strict=True))
        losses = {"train_acc": 0.4, "train_loss": 1.0, "val_loss": 1.0}
        report = flat_report(epoch, 0.5 + 0.01 * epoch, rows, losses, seed=0, seconds=1.0)
        made.append({**report, "key": "search-0"})
    return made
