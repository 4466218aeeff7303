"""What experiments left on this machine, read from NNI's own database, running or ended.

NNI keeps each experiment in `<experiments folder>/<id>/db/nni.sqlite`, where the results of remote
trials arrive too, and a list of the folders in `~/nni-experiments/.experiment`. All is opened for
reading only.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nni_darts.genotype import Genotype

TUNER = "nni_darts.tuner.DartsProtocol"


@dataclass
class Trial:
    """A trial as NNI knows it."""

    id: str
    status: str = "WAITING"
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By epoch; one that was run twice is here once."""
    result: dict[str, Any] | None = None

    @property
    def seed(self) -> int | None:
        """As the trial itself says; what NNI recorded as its parameters may be another trial's."""
        told = [report["seed"] for report in self.reports.values() if "seed" in report]
        return int(told[0]) if told else None


@dataclass(frozen=True)
class Found:
    """An architecture that a search found."""

    score: float
    seed: int
    trial: str
    accuracy: float
    """Of the supernet on the validation data, in [0, 1]; it does not rank cells."""
    rank: int
    """Within its search, from 1."""
    text: str
    """JSON: a genotype, or a sample of a space that is not one of cells."""

    def to_text(self, format: str) -> str:
        """Raises ValueError where the architecture has no such form."""
        return genotype(self.text).to_text(format)


class StoredError(ValueError):
    """There is no such experiment, or it cannot be read."""


@dataclass(frozen=True)
class Experiment:
    """An experiment's folder."""

    id: str
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "db" / "nni.sqlite"

    def config(self) -> dict[str, Any]:
        """The experiment file, as NNI read it; empty while NNI has not stored it yet."""
        rows = self._query("select params from ExperimentProfile order by revision desc limit 1")
        return dict(json.loads(rows[0][0])) if rows else {}

    def is_ours(self) -> bool:
        try:
            tuner = self.config().get("tuner") or {}
        except StoredError:
            return False
        return str(tuner.get("className", "")) == TUNER

    def trials(self) -> list[Trial]:
        """All trials in the order in which NNI created them."""
        trials: dict[str, Trial] = {}
        events = "select trialJobId, event from TrialJobEvent order by rowid"
        for id_, event in self._query(events):
            trial = trials.setdefault(id_, Trial(id_))
            if event != "ADD_HYPERPARAMETER":
                trial.status = event
        metrics = "select trialJobId, type, data from MetricData order by rowid"
        for id_, kind, data in self._query(metrics):
            value = json.loads(data)
            value = json.loads(value) if isinstance(value, str) else value
            if id_ not in trials or not isinstance(value, dict):
                continue
            if kind == "FINAL":
                trials[id_].result = value
            elif "epoch" in value:
                trials[id_].reports[int(value["epoch"])] = value
        return list(trials.values())

    def found(self) -> list[Found]:
        """What the searches that are done found, highest score first."""
        found = []
        for trial in self.trials():
            result = trial.result or {}
            rank = 1
            while f"genotype_{rank}" in result:
                found.append(
                    Found(
                        float(result[f"score_{rank}"]),
                        int(result["seed"]),
                        trial.id,
                        float(result["default"]),
                        rank,
                        result[f"genotype_{rank}"],
                    )
                )
                rank += 1
        return sorted(found, key=lambda f: -f.score)

    def _query(self, sql: str) -> list[Any]:
        try:
            uri = f"{self.database.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                return connection.execute(sql).fetchall()
        except sqlite3.Error as error:
            raise StoredError(
                f"cannot read experiment {self.id} at {self.folder}: {error}"
            ) from None


def genotype(text: str) -> Genotype:
    """A stored architecture as a genotype; ValueError where it is not one of cells.

    A search may have been over operations of the user's, so all its names are taken.
    """
    names: set[str] = set()
    _collect(json.loads(text), names)
    return Genotype.parse(text, operations=names)


def _collect(value: Any, names: set[str]) -> None:
    if isinstance(value, str):
        names.add(value)
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _collect(item, names)


def experiments(home: Path | None = None) -> Iterator[Experiment]:
    """All experiments that NNI has a record of, latest first.

    Args:
        home: the folder of NNI's list, `~/nni-experiments` by default.
    """
    home = home or Path.home() / "nni-experiments"
    record = home / ".experiment"
    if not record.exists():
        return
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoredError(f"NNI's list of experiments, {record}, cannot be read: {error}") from None
    for entry in sorted(entries.values(), key=lambda e: -int(e.get("startTime") or 0)):
        yield Experiment(entry["id"], Path(entry.get("logDir") or home) / entry["id"])


def find(id_: str | None, home: Path | None = None) -> Experiment:
    """An experiment by its id, or the latest one of ours.

    Raises:
        StoredError: there is none.
    """
    if id_ is None:
        for experiment in experiments(home):
            if experiment.is_ours():
                return experiment
        raise StoredError(
            "no experiment of nni-darts was found in ~/nni-experiments; run one first, "
            "for example: nni-darts run experiments/darts.yml"
        )
    for experiment in experiments(home):
        if experiment.id == id_:
            return experiment
    known = [experiment.id for experiment in experiments(home) if experiment.is_ours()]
    raise StoredError(
        f"NNI knows no experiment {id_!r} on this machine; those of nni-darts, latest first: "
        f"{', '.join(known[:10]) or 'none'}"
    )
