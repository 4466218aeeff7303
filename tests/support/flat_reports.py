"""Reports of epochs, made up from their weights: what a trial sends to NNI, but for its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nni_darts._common.metric import ACCURACY
from nni_darts.history.flat import to_flat
from nni_darts.history.record import EpochRecord


def flat_report(
    epoch: int,
    accuracy: float,
    probabilities: Mapping[str, Mapping[Any, float]],
    metrics: Mapping[str, float] | None = None,
    **first: float,
) -> dict[str, Any]:
    """What a search reports of an epoch.

    Args:
        epoch: counted from 0.
        accuracy: on the validation data.
        probabilities: label -> choice -> its mixing weight.
        metrics: as the trainer has them.
        first: such as the seed and the seconds, which stand before them.
    """
    measured = {ACCURACY.val: accuracy, **(metrics or {})}
    record = EpochRecord.of_search(epoch, ACCURACY, measured, probabilities)
    return to_flat(replace(record, metrics={**first, **record.metrics}))
