"""What a run tells of itself after each epoch, and where."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from nni_darts._common.metric import Metric, metric_of
from nni_darts.genotypes.genotype import Genotype, is_of_cells_only
from nni_darts.history.choice_weights import NAMES, names_of
from nni_darts.history.edge_keys import LETTERS, SHORT
from nni_darts.runs.tensorboard import Events
from nni_darts.training.run_folder import GENOTYPES, HISTORY, TENSORBOARD, RunFolder

Report = dict[str, Any]
"""Numbers by their keys, and `nni_darts.history.choice_weights.NAMES`, a text, where those are
cut."""

MAX_KEY = 12
"""Characters of a key that NNI's web UI shows."""
MAX_LABEL = 7
"""Of these, for the label."""


def short_keys(choices: Mapping[str, list[Any]]) -> dict[tuple[str, Any], str]:
    """A flat key of at most 12 characters for every choice under every label, all distinct.

    An edge of a cell reads `n2<0 sep3`: the normal cell's node 2 from its state 0. What would be
    longer or not distinct is cut and numbered, the label and the choice each by itself, so that
    what stands before the space tells the labels apart.
    """
    keys: dict[tuple[str, Any], str] = {}
    labels: set[str] = set()
    for label, names in choices.items():
        short = _distinct(_short_label(label), labels, MAX_LABEL)
        taken: set[str] = set()
        for name in names:
            candidate = SHORT.get(str(name), str(name)).strip() or repr(name)
            candidate = _distinct(candidate, taken, MAX_KEY - len(short) - 1)
            keys[label, name] = f"{short} {candidate}"
    return keys


def _distinct(text: str, taken: set[str], most: int) -> str:
    """The text in at most so many characters; cut and numbered where that is taken already."""
    short, number = text[:most].strip(), 1
    while short in taken:
        number += 1
        short = f"{text[: max(0, most - len(str(number)) - 1)]}~{number}"
    taken.add(short)
    return short


def _short_label(label: str) -> str:
    kind, *states = label.split("_")
    if kind in LETTERS and len(states) == 2 and all(s.isdecimal() and len(s) < 3 for s in states):
        return f"{LETTERS[kind]}{states[0]}<{states[1]}"
    # A space ends the label, and < stands for an edge of a cell.
    label = "_".join(label.split()).replace("<", ".") or "_"
    # Room for the choice, which is what tells the keys of a label apart.
    return label if len(label) <= MAX_LABEL else f"{label[:3]}.{label[-3:]}"


def mean_entropy(probabilities: Mapping[str, Mapping[Any, float]]) -> float:
    """The mean over labels of the entropy of their mixing weights, in nats.

    log(number of choices) where nothing is preferred, 0 where all is decided.
    """
    rows = [list(row.values()) for row in probabilities.values()]
    return sum(-sum(p * math.log(p) for p in row if p > 0) for row in rows) / len(rows)


def as_text(sample: Mapping[str, Any]) -> str:
    """A sample as one line of JSON: a genotype where it is one of a space of cells alone."""
    if not is_of_cells_only(sample):
        return json.dumps(sample)
    names = [v for v in sample.values() if isinstance(v, str)]
    try:
        return Genotype.from_sample(sample, operations=names).to_json()
    except ValueError:
        return json.dumps(sample)


class History:
    """history.csv of one run, written whole after every epoch.

    Rows of epochs that a resumed run does again are dropped. A damaged file is put aside with a
    message, and the history begins anew.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def table(self) -> pd.DataFrame:
        """A row per epoch; empty before the first one."""
        if not self.folder.exists(HISTORY):
            return pd.DataFrame()
        try:
            table = pd.read_csv(io.BytesIO(self.folder.read(HISTORY)), low_memory=False)
            table = table.astype({"epoch": "int64", "default": "float64"})
        except (ValueError, KeyError, OverflowError):  # pandas' own, and a UnicodeDecodeError
            self.folder.put_aside(HISTORY, "is damaged", "what it told of earlier epochs is lost")
            return pd.DataFrame()
        return table

    def last(self) -> Report:
        """The report of the last epoch; empty before the first one."""
        table = self.table()
        return dict(table.iloc[-1]) if len(table) else {}

    def add(self, report: Report) -> None:
        row, before = pd.DataFrame([report]), self.table()
        if len(before):
            row = pd.concat([before[before["epoch"] < report["epoch"]], row])
        self.folder.replace(HISTORY, row.to_csv(index=False))


class Reporter:
    """Makes a report of each epoch: to NNI, history.csv and TensorBoard, and on the screen.

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
        self.key = key
        self.seed = seed
        self.history = History(folder)
        self.events = Events(folder.address(TENSORBOARD))
        self.epochs = epochs
        # A run that was over when it was killed reports no epoch any more.
        self.last = self.history.last()
        self._clock = time.perf_counter()

    def epoch(self, epoch: int, metric: float, metrics: Mapping[str, Any]) -> None:
        """Report an epoch.

        Args:
            epoch: counted from 0.
            metric: what NNI shows and compares, as `default`.
            metrics: all others, in the order in which they are to be shown.
        """
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        report = {"default": metric, "epoch": epoch, "seed": self.seed, "seconds": seconds}
        self.last = {**report, **metrics}
        self.history.add(self.last)
        self.events.add(self.last)
        self.send({**self.last, "key": self.key})
        print(summary(self.last, self.epochs), flush=True)


def search_metrics(
    metrics: Mapping[str, float],
    metric: Metric,
    probabilities: Mapping[str, Mapping[Any, float]],
) -> Report:
    """What a search reports of an epoch: its metrics, the entropy, every mixing weight by its key,
    and what the keys stand for where they are cut.

    Args:
        metrics: as the trainer has them.
        metric: what is reported as `default` on the validation data, and not again.
        probabilities: label -> choice -> its mixing weight.
    """
    report = {name: metrics[name] for name in sorted(metrics) if name != metric.val}
    report["entropy"] = mean_entropy(probabilities)
    keys = short_keys({label: list(row) for label, row in probabilities.items()})
    weights = {keys[label, c]: p for label, row in probabilities.items() for c, p in row.items()}
    names = names_of(keys)
    return {**report, **weights, **({NAMES: names} if names else {})}


def write_genotypes(folder: RunFolder, epoch: int, ranked: list[tuple[float, str]]) -> None:
    """genotypes.json: the best architectures after an epoch, (score, JSON text) each."""
    genotypes = [{"score": s, "epoch": epoch, "genotype": json.loads(t)} for s, t in ranked]
    folder.replace(GENOTYPES, json.dumps(genotypes, indent=1))


def summary(report: Mapping[str, Any], epochs: int) -> str:
    """An epoch in one line."""
    parts = [f"epoch {int(report['epoch']) + 1}/{epochs}"]
    metric = metric_of(report)
    # Without validation data the metric is that on the training data.
    if "val_loss" in report or metric.train not in report:
        parts.append(f"val {metric.key} {report['default']:.4f}")
    for name in ("val_loss", metric.train, "train_loss", "entropy"):
        if name in report:
            parts.append(f"{name.replace('_', ' ')} {report[name]:.4f}")
    parts.append(f"{report['seconds']:.1f} s")
    return "  ".join(parts)


def leading(report: Mapping[str, Any]) -> str:
    """Which operations lead on how many edges of each cell: `normal 9 sep3, 5 skip`.

    An edge is led by its strongest operation other than none; empty for spaces without cells.
    """
    best: dict[str, tuple[float, str]] = {}
    for key, value in report.items():
        edge, _, operation = key.partition(" ")
        if "<" in edge and operation != "none":
            best[edge] = max(best.get(edge, (-1.0, "")), (value, operation))
    lines = []
    for kind, letter in LETTERS.items():
        operations = [o for edge, (_, o) in best.items() if edge.startswith(letter)]
        counts = pd.Series(operations, dtype=object).value_counts()
        if len(counts):
            lines.append(f"{kind} " + ", ".join(f"{n} {o}" for o, n in counts.items()))
    return "; ".join(lines)
