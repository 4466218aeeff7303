"""Records of experiments on this machine, read from NNI's own database, running or ended.

NNI keeps each experiment in `<experiments folder>/<id>/db/nni.sqlite`, where the results of remote
trials arrive too, and a list of the folders in `~/nni-experiments/.experiment`. All is opened for
reading only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nni_darts._common import files
from nni_darts._common.environment import UNABLE, last_words
from nni_darts._common.messages import say_once
from nni_darts._common.redaction import redacted
from nni_darts.experiment import rows
from nni_darts.experiment.database import Database, DatabaseError

T = TypeVar("T")

TUNER = "nni_darts.tuner.DartsProtocol"

_READS, _PAUSE = 5, 0.1  # how often and in what distance, in seconds, a list is read
STOPPED = "EARLY_STOPPED"
INTERRUPTED = "interrupted"
"""Key of the cause, in the report of a trial that ends for no fault of its run."""
RESUMED = "ADD_RESUMED"
"""Status of a trial that NNI is about to start again. If the experiment is stopped before it
does, it never will."""


@dataclass
class Trial:
    """A trial as NNI knows it."""

    id: str
    status: str = "WAITING"
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Reports by epoch; an epoch that was run twice is here once."""
    result: dict[str, Any] | None = None
    key: str | None = None
    """Key of its run (`nni_darts.runs.run_key.key`), as the trial itself said since it was last
    started; what NNI recorded as its parameters may be another trial's."""

    cause: str | None = None
    """Cause of its interruption, if it has reported one and nothing since: a full disk, say."""

    event: int = 0
    """Number of its last change of status: it grows over the events of an experiment."""
    time: int = 0
    """Time of that change in milliseconds since 1970, by the clock of the manager's machine."""
    unable: str | None = None
    """Reason why its machine can run no trial, as it reported: no failure of its run."""

    @property
    def alive(self) -> bool:
        return self.status in (RESUMED, "WAITING", "RUNNING", "UNKNOWN")


class StoredError(ValueError):
    """Experiment that does not exist, or cannot be read."""


@dataclass(frozen=True)
class Experiment:
    """An experiment's folder."""

    id: str
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "db" / "nni.sqlite"

    def config(self) -> dict[str, Any]:
        """The experiment file, as NNI read it; empty while NNI has not stored it yet.

        Raises:
            StoredError: it cannot be read.
        """
        profile = self._asked(self._tables.profile)
        if profile is None:
            return {}
        try:
            values = files.parse_json(profile, dict)
            tuner = values.get("tuner")
            if not isinstance(tuner, dict | None) or not isinstance(
                (tuner or {}).get("classArgs"), dict | None
            ):
                raise files.DamagedError(f"is damaged: its tuner is {redacted(tuner)!r:.60}")
        except files.DamagedError as error:
            raise StoredError(
                f"the experiment file of {self.id}, as NNI stored it in {self.database}, {error}"
            ) from None
        return values

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
        for number, id_, event, moment in self._asked(self._tables.events):
            if not (isinstance(id_, str) and isinstance(event, str) and _is_time(moment)):
                say_once(
                    f"{self.database}: a damaged event, {(id_, event, moment)!r:.60}, is left out"
                )
                continue
            if event in ("ADD_HYPERPARAMETER", "ADD_CUSTOMIZED", "IMPORT_DATA"):
                continue
            trial = trials.setdefault(id_, Trial(id_))
            if event == RESUMED:
                started[id_] = moment
            # Nobody waits for a trial that is being cancelled.
            trial.status = "USER_CANCELED" if event == "USER_TO_CANCEL" else event
            trial.event, trial.time = number, int(moment)
        for _, id_, kind, data, moment in self._asked(self._tables.messages):
            if id_ in trials and _is_time(moment):
                self._take(trials[id_], kind, data, since_its_start=moment >= started.get(id_, 0))
        for id_ in self.stopped():
            if id_ in trials and not trials[id_].alive and trials[id_].result is None:
                trials[id_].status = STOPPED
        for trial in trials.values():
            if trial.status == "FAILED" and trial.key is None and trial.unable is None:
                trial.unable = self._unheard(trial.id)
        return list(trials.values())

    def _unheard(self, trial: str) -> str | None:
        """Reason why a trial could not even speak to NNI, if it ran on this machine."""
        for log in self.folder.glob(f"environments/*/trials/{trial}/trial.stderr"):
            with suppress(OSError), log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - 4096))
                return last_words(file.read().decode(errors="replace"))
        return None

    def _take(self, trial: Trial, kind: str, data: Any, *, since_its_start: bool) -> None:
        """Record a message of a trial; damaged ones are left out, with a message."""
        try:
            value = rows.decode(data)
            if not isinstance(value, dict):
                return  # somebody else's trial: ours send dicts
            (rows.require_result if kind == "FINAL" else rows.require_report)(value)
        except files.DamagedError as error:
            what = "the result" if kind == "FINAL" else "a report"
            if self.is_ours():
                say_once(f"{self.database}: {what} of trial {trial.id} {error}; it is left out")
            return
        if since_its_start:
            trial.key = value.get("key", trial.key)
            trial.cause = value.get(INTERRUPTED)
        if kind == "FINAL":
            trial.result = value
        elif UNABLE in value:
            trial.unable = str(value[UNABLE])
        elif "epoch" in value:
            trial.reports[value["epoch"]] = value

    def stopped(self) -> list[str]:
        """Trials that the assessor stopped; NNI calls them failed or cancelled by the user."""
        if not self.stopped_file.exists():
            return []
        try:
            return [str(id_) for id_ in files.read_json(self.stopped_file, list)]
        except (OSError, files.DamagedError) as error:
            say_once(f"{self.stopped_file} {error}; a search that was stopped may be tried again")
            return []

    @property
    def stopped_file(self) -> Path:
        return self.folder / "checkpoint" / "nni_darts_stopped.json"

    @property
    def _tables(self) -> Database:
        return Database(self.database)

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except DatabaseError as error:
            raise StoredError(
                f"cannot read experiment {self.id} at {self.folder}: {error}"
            ) from None


def experiments(home: Path | None = None) -> Iterator[Experiment]:
    """All experiments that NNI has a record of, latest first.

    Args:
        home: the folder of NNI's list, `~/nni-experiments` by default.
    """
    try:
        home = home or files.at_home("~/nni-experiments")
    except files.NoHomeError as error:
        raise StoredError(f"NNI's list of experiments: {error}") from None
    record = home / ".experiment"
    if not record.exists():
        return
    try:
        entries = list(_read_while_written(record).values())
    except (OSError, files.DamagedError) as error:
        raise StoredError(f"NNI's list of experiments, {record}, {error}") from None
    whole = [entry for entry in entries if _is_entry(entry)]
    if len(whole) < len(entries):
        say_once(f"{record} is damaged: entries that name no experiment are left out")
    for entry in sorted(whole, key=lambda e: -int(e.get("startTime") or 0)):
        yield Experiment(entry["id"], Path(entry.get("logDir") or home) / entry["id"])


def _read_while_written(record: Path) -> dict[str, Any]:
    """Content of NNI's list, which NNI empties before it writes it again."""
    for _ in range(_READS - 1):
        with suppress(files.DamagedError):
            return files.read_json(record, dict)
        time.sleep(_PAUSE)
    return files.read_json(record, dict)


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return False
    start, folder = entry.get("startTime"), entry.get("logDir")
    return (start is None or _is_time(start)) and isinstance(folder, str | None)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def require_experiment(id_: str | None, home: Path | None = None) -> Experiment:
    """Experiment by its id, or the latest one of ours.

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
