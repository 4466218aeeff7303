"""The reports of searches, made up: what trials send to NNI after each epoch."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from flat_reports import flat_report

from nni_darts.genotypes.cell import KINDS, PRIMITIVES, RNN_PRIMITIVES

Report = dict[str, Any]


def reports(
    epochs: int,
    seed: int = 0,
    drift: float = 0.0,
    kinds: Sequence[str] = ("normal", "reduce"),
    start: int = 0,
) -> list[Report]:
    """Alphas that wander off evenly, from uniform ones.

    Args:
        epochs: how many.
        seed: of the search, and of the random numbers.
        drift: that skip connections of the normal cell gain in each epoch on all others.
        kinds: of the cells.
        start: the first epoch.
    """
    chance = random.Random(seed)
    operations = RNN_PRIMITIVES if "recurrent" in kinds else PRIMITIVES
    labels = [
        f"{kind}_{node}_{source}"
        for kind in kinds
        for node in range(KINDS[kind].num_inputs, KINDS[kind].num_inputs + _nodes(kind))
        for source in range(node)
    ]
    alphas = {(label, o): 0.0 for label in labels for o in operations}
    # A healthy search learns that its skip connections are worth less than its convolutions.
    tends = {(label, o): chance.gauss(0.06 if "conv" in o else -0.02, 0.03) for label, o in alphas}
    made = []
    for epoch in range(start, start + epochs):
        for label, o in alphas:
            alphas[label, o] += tends[label, o] + chance.gauss(0, 0.02)
            if o == "skip_connect" and label.startswith("normal"):
                alphas[label, o] += drift
        metrics = {"train_acc": 0.9, "train_loss": 0.3, "val_loss": 0.5}
        weights = {label: _softmax({o: alphas[label, o] for o in operations}) for label in labels}
        accuracy = 0.92 - 0.6 * math.exp(-epoch / 9) + chance.gauss(0, 0.01)
        report = flat_report(epoch, accuracy, weights, metrics, seed=seed, seconds=3.0)
        made.append({**report, "key": f"search-{seed}"})
    return made


def trained(epochs: int) -> list[Report]:
    """Of a run of another stage."""
    always = {"seed": 0, "seconds": 1.0, "key": "select-0a1b2c3d-0"}
    return [{"default": 0.5, "epoch": epoch, "val_loss": 0.5, **always} for epoch in range(epochs)]


def _nodes(kind: str) -> int:
    return 8 if kind == "recurrent" else 4


def _softmax(row: dict[str, float]) -> dict[str, float]:
    total = sum(map(math.exp, row.values()))
    return {name: math.exp(value) / total for name, value in row.items()}
