"""What trials report that `nnictl resume` started again, read from NNI's database.

NNI's dispatcher drops the reports of such trials before they come to the assessor, and does not
tell it of their end (nni/runtime/msg_dispatcher.py, is_created_in_previous_exp).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from nni_darts.stored import RESUMED, Experiment, Trial


class Resumed:
    """The resumed trials of an experiment, from now on; make it before NNI resumes them."""

    def __init__(self, experiment: Experiment) -> None:
        self._uri = f"{experiment.database.resolve().as_uri()}?mode=ro"
        self._trials: dict[str, str] = {}
        self._events = self._last("TrialJobEvent")
        self._reports = self._last("MetricData")

    def news(self) -> Iterator[tuple[str, dict[str, Any] | str]]:
        """(trial, report), and (trial, status) when it has ended; each once.

        Raises:
            sqlite3.Error: the database cannot be read now.
        """
        # Events first: a trial's last report has been stored before its end.
        events = self._rows("TrialJobEvent", "event", self._events)
        reports = self._rows("MetricData", "data", self._reports, "and type = 'PERIODICAL'")
        ended = []
        for row, trial, event in events:
            self._events = row
            if event == RESUMED or trial in self._trials:
                self._trials[trial] = event
                if not Trial(trial, event).alive and event != "USER_TO_CANCEL":
                    ended.append(trial)
        for row, trial, data in reports:
            self._reports = row
            if trial in self._trials:
                value = json.loads(data)
                value = json.loads(value) if isinstance(value, str) else value
                if isinstance(value, dict):
                    yield trial, value
        for trial in ended:
            yield trial, self._trials.pop(trial)

    def _last(self, table: str) -> int:
        try:
            return int(self._query(f"select coalesce(max(rowid), 0) from {table}")[0][0])
        except sqlite3.Error:  # a new experiment
            return 0

    def _rows(self, table: str, column: str, after: int, where: str = "") -> list[Any]:
        return self._query(
            f"select rowid, trialJobId, {column} from {table} "
            f"where rowid > {after} {where} order by rowid"
        )

    def _query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self._uri, uri=True, timeout=10)) as connection:
            return connection.execute(sql).fetchall()
