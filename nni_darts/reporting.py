"""What a search tells of itself after each epoch: to NNI, to history.csv and to genotypes.json."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nni_darts import files
from nni_darts.genotype import Genotype

Report = dict[str, float]

MAX_KEY = 12
"""Characters of a key that NNI's web UI shows."""

_CELL = {"normal": "n", "reduce": "r", "recurrent": "c"}
_SHORT = {
    "none": "none",
    "max_pool_3x3": "maxp",
    "avg_pool_3x3": "avgp",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "sep_conv_7x7": "sep7",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
    "conv_7x1_1x7": "c7x1",
    "sigmoid": "sigm",
    "identity": "iden",
}


def short_keys(choices: Mapping[str, list[Any]]) -> dict[tuple[str, Any], str]:
    """A flat key of at most 12 characters for every choice under every label, all distinct.

    An edge of a cell reads `n2<0 sep3`: the normal cell's node 2 from its state 0. What would be
    longer or not distinct is cut and numbered.
    """
    keys: dict[tuple[str, Any], str] = {}
    taken: set[str] = set()
    for label, names in choices.items():
        for name in names:
            full = f"{_short_label(label)} {_SHORT.get(str(name), str(name))}"
            key, number = full[:MAX_KEY].strip(), 1
            while key in taken:
                number += 1
                key = f"{full[: MAX_KEY - len(str(number)) - 1]}~{number}"
            taken.add(key)
            keys[label, name] = key
    return keys


def _short_label(label: str) -> str:
    kind, *states = label.split("_")
    if kind in _CELL and len(states) == 2:
        return f"{_CELL[kind]}{states[0]}<{states[1]}"
    # Room for the choice, which is what tells the keys of a label apart.
    return label if len(label) <= 7 else f"{label[:3]}.{label[-3:]}"


def mean_entropy(probabilities: Mapping[str, Mapping[Any, float]]) -> float:
    """The mean over labels of the entropy of their mixing weights, in nats.

    log(number of choices) where nothing is preferred, 0 where all is decided.
    """
    rows = [list(row.values()) for row in probabilities.values()]
    return sum(-sum(p * math.log(p) for p in row if p > 0) for row in rows) / len(rows)


def as_text(sample: Mapping[str, Any]) -> str:
    """A sample as one line of JSON: a genotype where it is one of a space of cells."""
    names = [v for v in sample.values() if isinstance(v, str)]
    try:
        return Genotype.from_sample(sample, operations=names).to_json()
    except ValueError:
        return json.dumps(sample)


class History:
    """history.csv and genotypes.json of one search, written whole after every epoch.

    Rows of epochs that a resumed search runs again are dropped.
    """

    def __init__(self, folder: Path) -> None:
        self.csv = folder / "history.csv"
        self.json = folder / "genotypes.json"

    def last(self) -> Report:
        """The report of the last epoch; empty before the first one."""
        return dict(pd.read_csv(self.csv).iloc[-1]) if self.csv.exists() else {}

    def add(self, report: Report, ranked: list[tuple[float, str]]) -> None:
        """Add an epoch: its report, and (score, text) of its best architectures."""
        row = pd.DataFrame([report])
        if self.csv.exists():
            before = pd.read_csv(self.csv)
            row = pd.concat([before[before["epoch"] < report["epoch"]], row])
        files.write(self.csv, row.to_csv(index=False))
        genotypes = [
            {"score": score, "epoch": report["epoch"], "genotype": json.loads(text)}
            for score, text in ranked
        ]
        files.write(self.json, json.dumps(genotypes, indent=1))


class Reporter:
    """Turns the state of a search into reports.

    Args:
        send: takes each epoch's report to NNI.
        folder: the trial's output directory.
        seed: of the search. Every report echoes it: with several trials at a time, the parameters
            that NNI records for a trial may be another's.
        epochs: of the whole search, for the line that is printed.
        top_k: how many architectures genotypes.json holds.
    """

    def __init__(
        self, send: Callable[[Report], None], folder: Path, seed: int, epochs: int, top_k: int
    ) -> None:
        self.send = send
        self.seed = seed
        self.history = History(folder)
        self.epochs = epochs
        self.top_k = top_k
        # A search that was over when it was killed reports no epoch any more.
        self.last = self.history.last()
        self._clock = time.perf_counter()

    def epoch(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        probabilities: Mapping[str, Mapping[Any, float]],
        ranked: list[tuple[float, str]],
    ) -> None:
        """Report an epoch: `default` is the validation accuracy in [0, 1]."""
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        report: Report = {"default": metrics["val_acc"], "epoch": epoch, "seed": self.seed}
        report |= {name: metrics[name] for name in sorted(metrics) if name != "val_acc"}
        report |= {"entropy": mean_entropy(probabilities), "seconds": seconds}
        keys = short_keys({label: list(row) for label, row in probabilities.items()})
        report |= {
            keys[label, c]: p for label, row in probabilities.items() for c, p in row.items()
        }
        self.last = report
        self.history.add(report, ranked)
        self.send(report)
        print(f"{summary(report, self.epochs)}  best {ranked[0][1]}", flush=True)


def summary(report: Mapping[str, float], epochs: int) -> str:
    """An epoch in one line."""
    parts = [f"epoch {int(report['epoch']) + 1}/{epochs}", f"val acc {report['default']:.4f}"]
    for name in ("val_loss", "train_loss", "entropy"):
        if name in report:
            parts.append(f"{name.replace('_', ' ')} {report[name]:.4f}")
    parts.append(f"{report['seconds']:.1f} s")
    return "  ".join(parts)


def leading(report: Mapping[str, float]) -> str:
    """Which operations lead on how many edges of each cell: `normal 9 sep3, 5 skip`.

    An edge is led by its strongest operation other than none; empty for spaces without cells.
    """
    best: dict[str, tuple[float, str]] = {}
    for key, value in report.items():
        edge, _, operation = key.partition(" ")
        if "<" in edge and operation != "none":
            best[edge] = max(best.get(edge, (-1.0, "")), (value, operation))
    lines = []
    for kind, letter in _CELL.items():
        operations = [o for edge, (_, o) in best.items() if edge.startswith(letter)]
        counts = pd.Series(operations, dtype=object).value_counts()
        if len(counts):
            lines.append(f"{kind} " + ", ".join(f"{n} {o}" for o, n in counts.items()))
    return "; ".join(lines)
