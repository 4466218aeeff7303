"""The tables that NNI keeps of an experiment: an sqlite file, opened for reading only.

The file is closed after each question, so that NNI, which writes to it, never waits.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class DatabaseError(ValueError):
    """The file cannot be read: one line."""


class Event(NamedTuple):
    """A change of the status of a trial. What NNI stored may be of any type."""

    row: int
    """A number that grows over the events of an experiment."""
    trial: Any
    status: Any
    time: Any
    """Milliseconds since 1970, by the clock of the manager's machine."""


class Message(NamedTuple):
    """A report or a result of a trial. What NNI stored may be of any type."""

    row: int
    """A number that grows over the messages of an experiment."""
    trial: Any
    kind: Any
    """"PERIODICAL" for a report, "FINAL" for the result."""
    data: Any
    time: Any
    """Milliseconds since 1970, by the clock of the manager's machine."""


@dataclass(frozen=True)
class Database:
    """NNI's tables in a file, which need not exist yet. Whatever is asked raises DatabaseError."""

    path: Path

    def profile(self) -> str | None:
        """The experiment file as NNI read it, JSON; None while it has not stored it yet."""
        rows = self._rows("select params from ExperimentProfile order by revision desc limit 1")
        return str(rows[0][0]) if rows else None

    def events(self, after: int = 0) -> list[Event]:
        """The events whose row comes after a number, in the order in which they happened."""
        columns = "rowid, trialJobId, event, timestamp"
        return [Event(*row) for row in self._after("TrialJobEvent", columns, after)]

    def messages(self, after: int = 0) -> list[Message]:
        """The messages whose row comes after a number, in the order in which they came."""
        columns = "rowid, trialJobId, type, data, timestamp"
        return [Message(*row) for row in self._after("MetricData", columns, after)]

    def last_message(self) -> int:
        """The row of the last message; 0 before the first one."""
        return int(self._rows("select coalesce(max(rowid), 0) from MetricData")[0][0])

    def _after(self, table: str, columns: str, row: int) -> list[Any]:
        return self._rows(f"select {columns} from {table} where rowid > ? order by rowid", row)

    def _rows(self, sql: str, *values: int) -> list[Any]:
        try:
            # A pipe would wait for a writer.
            if self.path.exists() and not self.path.is_file():
                raise sqlite3.DatabaseError(f"{self.path} is not a regular file")
            uri = f"{self.path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                return connection.execute(sql, values).fetchall()
        except (sqlite3.Error, ValueError, OSError) as error:
            raise DatabaseError(str(error)) from None
