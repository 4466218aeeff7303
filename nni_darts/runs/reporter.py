"""Reports of a run after each epoch, and the places that they go to."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nni_darts.genotypes.cell import NONE
from nni_darts.genotypes.genotype import Genotype, is_of_cells_only
from nni_darts.history.csv_file import History
from nni_darts.history.flat import to_flat
from nni_darts.history.keys import SHORT
from nni_darts.history.record import EpochRecord
from nni_darts.runs.tensorboard import Events
from nni_darts.training.run_folder import GENOTYPES, SELECTION, TENSORBOARD, RunFolder


def as_text(sample: Mapping[str, Any]) -> str:
    """A sample as one line of JSON: a genotype where it is one of a space of cells alone."""
    if not is_of_cells_only(sample):
        return json.dumps(sample)
    names = [v for v in sample.values() if isinstance(v, str)]
    try:
        return Genotype.from_sample(sample, operations=names).to_json()
    except ValueError:
        return json.dumps(sample)


class Reporter:
    """Tells of each epoch: to NNI, history.csv and TensorBoard, and on the screen.

    Args:
        send: takes each epoch's report to NNI.
        folder: of the run.
        key: the text of its `nni_darts.runs.run_key.RunKey`. Every report echoes it: with several
            trials at a time, the parameters that NNI records for a trial may be another's.
        seed: of the run.
        epochs: of the whole run, for the line that is printed.
    """

    def __init__(
        self, send: Callable[[Any], None], folder: RunFolder, key: str, seed: int, epochs: int
    ) -> None:
        self.send = send
        self.folder = folder
        self.key = key
        self.seed = seed
        self.history = History(folder)
        self.events = Events(folder.address(TENSORBOARD))
        self.epochs = epochs
        # A run that was over when it was killed reports no epoch any more.
        self.last = next(reversed(self.history.records()), None)
        self._clock = time.perf_counter()

    def record(self, epoch: int) -> EpochRecord | None:
        """The record of an epoch; None where the history does not have it any more."""
        return next((r for r in self.history.records() if r.epoch == epoch), None)

    def epoch(self, record: EpochRecord) -> None:
        """Report an epoch, with the run's seed and the seconds that the epoch took."""
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        metrics = {"seed": self.seed, "seconds": seconds, **record.metrics}
        self.last = record = replace(record, metrics=metrics)
        self.history.add(record)
        self.events.add(record)
        self.send({**to_flat(record), "key": self.key})
        print(summary(record, self.epochs), flush=True)


def write_genotypes(folder: RunFolder, epoch: int, ranked: list[tuple[float, str]]) -> None:
    """genotypes.json: the best architectures after an epoch, (score, JSON text) each."""
    genotypes = [{"score": s, "epoch": epoch, "genotype": json.loads(t)} for s, t in ranked]
    folder.replace(GENOTYPES, json.dumps(genotypes, indent=1))


def write_selection(folder: RunFolder, decided: Mapping[str, Any]) -> None:
    """selection.json: what a selection has decided so far, if it has decided anything."""
    if decided:
        folder.replace(SELECTION, json.dumps(decided, indent=1))


def summary(record: EpochRecord, epochs: int) -> str:
    """An epoch in one line."""
    metric, metrics = record.metric, record.metrics
    number = record.epoch + 1
    # A selection may take further epochs.
    parts = [f"epoch {number}/{epochs}" if number <= epochs else f"epoch {number}, selecting"]
    if record.validated:
        parts.append(f"val {metric.key} {record.default:.4f}")
    for name in ("val_loss", metric.train, "train_loss", "entropy"):
        if name in metrics:
            parts.append(f"{name.replace('_', ' ')} {metrics[name]:.4f}")
    if "seconds" in metrics:
        parts.append(f"{metrics['seconds']:.1f} s")
    return "  ".join(parts)


def leading(record: EpochRecord) -> str:
    """Count of the edges that each operation leads, cell by cell: `normal 9 sep3, 5 skip`.

    An edge is led by its strongest operation other than none; empty for spaces without cells.
    """
    lines = []
    for kind, edges in record.cells.items():
        rows = [
            [(w, SHORT.get(o, o)) for o, w in row.items() if o != NONE] for row in edges.values()
        ]
        counts = Counter(max(row)[1] for row in rows if row).most_common()
        if counts:
            lines.append(f"{kind} " + ", ".join(f"{n} {o}" for o, n in counts))
    return "; ".join(lines)
