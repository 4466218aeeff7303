"""Made-up histories of searches, for the tests of pictures."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from flat_reports import flat_report

from nni_darts.genotypes.cell import KINDS, PRIMITIVES
from nni_darts.history.flat import from_flat
from nni_darts.history.record import EpochRecord


def reports(
    epochs: int = 3,
    kinds: Sequence[str] = ("normal", "reduce"),
    num_nodes: int = 4,
    primitives: Sequence[str] = PRIMITIVES,
) -> list[dict[str, Any]]:
    """What a search reports epoch by epoch, of weights that drift apart."""
    rng = random.Random(0)
    labels = [
        f"{kind}_{node}_{source}"
        for kind in kinds
        for node in range(KINDS[kind].num_inputs, KINDS[kind].num_inputs + num_nodes)
        for source in range(node)
    ]
    drift = {label: [rng.gauss(0, 0.5) for _ in primitives] for label in labels}
    made = []
    for epoch in range(epochs):
        probabilities = {}
        for label in labels:
            powers = [math.exp(d * (epoch + 1)) for d in drift[label]]
            row = [power / sum(powers) for power in powers]
            probabilities[label] = dict(zip(primitives, row, strict=True))
        losses = {"train_acc": 0.4, "train_loss": 1.0, "val_loss": 1.0}
        accuracy = 0.5 + 0.1 * epoch
        made.append(flat_report(epoch, accuracy, probabilities, losses, seed=0, seconds=1.0))
    return made


def records(reports: list[dict[str, Any]]) -> list[EpochRecord]:
    return [from_flat(report) for report in reports]
