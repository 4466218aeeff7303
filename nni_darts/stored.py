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

TUNER = "nni_darts.tuner.DartsProtocol"

STOPPED = "EARLY_STOPPED"
INTERRUPTED = "interrupted"
"""In the report of a trial that ends for no fault of its run: the cause."""
RESUMED = "ADD_RESUMED"
"""The status of a trial that NNI is about to start again. If the experiment is stopped before it
does, it never will."""


@dataclass
class Trial:
    """A trial as NNI knows it."""

    id: str
    status: str = "WAITING"
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By epoch; one that was run twice is here once."""
    result: dict[str, Any] | None = None
    key: str | None = None
    """Of its run (`nni_darts.protocol.key`), as the trial itself said since it was last started;
    what NNI recorded as its parameters may be another trial's."""

    cause: str | None = None
    """Why it was interrupted, if it has said so and nothing since: a full disk, say."""

    event: int = 0
    """When its status changed last: a number that grows over the events of an experiment."""

    @property
    def alive(self) -> bool:
        return self.status in (RESUMED, "WAITING", "RUNNING", "UNKNOWN")


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
        started: dict[str, int] = {}
        events = "select rowid, trialJobId, event, timestamp from TrialJobEvent order by rowid"
        for number, id_, event, time in self._query(events):
            if event in ("ADD_HYPERPARAMETER", "ADD_CUSTOMIZED", "IMPORT_DATA"):
                continue
            trial = trials.setdefault(id_, Trial(id_))
            if event == RESUMED:
                started[id_] = time
            # Nobody waits for a trial that is being cancelled.
            trial.status = "USER_CANCELED" if event == "USER_TO_CANCEL" else event
            trial.event = number
        metrics = "select trialJobId, type, data, timestamp from MetricData order by rowid"
        for id_, kind, data, time in self._query(metrics):
            value = json.loads(data)
            value = json.loads(value) if isinstance(value, str) else value
            if id_ not in trials or not isinstance(value, dict):
                continue
            trial = trials[id_]
            if time >= started.get(id_, 0):
                trial.key = value.get("key", trial.key)
                trial.cause = value.get(INTERRUPTED)
            if kind == "FINAL":
                trial.result = value
            elif "epoch" in value:
                trial.reports[int(value["epoch"])] = value
        for id_ in self.stopped():
            if id_ in trials and not trials[id_].alive and trials[id_].result is None:
                trials[id_].status = STOPPED
        return list(trials.values())

    def stopped(self) -> list[str]:
        """The trials that the assessor stopped; NNI calls them failed or cancelled by the user."""
        try:
            return list(json.loads(self.stopped_file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return []

    @property
    def stopped_file(self) -> Path:
        return self.folder / "checkpoint" / "nni_darts_stopped.json"

    def _query(self, sql: str) -> list[Any]:
        try:
            uri = f"{self.database.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                return connection.execute(sql).fetchall()
        except sqlite3.Error as error:
            raise StoredError(
                f"cannot read experiment {self.id} at {self.folder}: {error}"
            ) from None


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
