"""Reports of trials that `nnictl resume` started again, read from NNI's database.

NNI's dispatcher drops the reports of such trials before they come to the assessor, and does not
tell it of their end (nni/runtime/msg_dispatcher.py, is_created_in_previous_exp).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from nni_darts._common.files import DamagedError
from nni_darts.experiment import rows
from nni_darts.experiment.nni_database import Experiment, Trial


class Resumed:
    """Trials of an experiment that are not over yet, from now on.

    Made when NNI's dispatcher starts, these are the ones that NNI resumes, or has just marked so.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._uri = f"{experiment.database.resolve().as_uri()}?mode=ro"
        self._events = self._reports = 0
        try:
            events = self._rows("TrialJobEvent", "event", 0)
            last = self._query("select coalesce(max(rowid), 0) from MetricData")
        except sqlite3.Error:  # a new experiment
            events, last = [], [[0]]
        self._reports = int(last[0][0])
        self._events = events[-1][0] if events else 0
        last_events = {trial: event for _, trial, event in events}
        self._trials = {trial for trial, event in last_events.items() if _alive(event)}

    def news(self) -> Iterator[tuple[str, dict[str, Any] | str]]:
        """Yield (trial, report), and (trial, status) when it has ended; each once.

        Raises:
            sqlite3.Error: the database cannot be read now.
        """
        # Events first: a trial's last report has been stored before its end.
        events = self._rows("TrialJobEvent", "event", self._events)
        reports = self._rows("MetricData", "data", self._reports, "and type = 'PERIODICAL'")
        ended: dict[str, str] = {}
        for row, trial, event in events:
            self._events = row
            if trial in self._trials and not _alive(event):
                ended[trial] = event
        for row, trial, data in reports:
            self._reports = row
            if trial in self._trials:
                try:
                    value = rows.decode(data)
                except DamagedError:  # the tuner, which reads it too, says so
                    continue
                if isinstance(value, dict):
                    yield trial, value
        for trial, event in ended.items():
            self._trials.remove(trial)
            yield trial, event

    def _rows(self, table: str, column: str, after: int, where: str = "") -> list[Any]:
        return self._query(
            f"select rowid, trialJobId, {column} from {table} "
            f"where rowid > {after} {where} order by rowid"
        )

    def _query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self._uri, uri=True, timeout=10)) as connection:
            return connection.execute(sql).fetchall()


def _alive(event: str) -> bool:
    return Trial("", event).alive or event == "USER_TO_CANCEL"
