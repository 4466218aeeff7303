from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nni_darts.experiment.database import Database, DatabaseError, Event, Message

TABLES = """
create table ExperimentProfile (params text, revision integer);
create table TrialJobEvent (timestamp integer, trialJobId text, event text);
create table MetricData (timestamp integer, trialJobId text, type text, data text);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "nni.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES)
    return file


def filled(path: Path, *statements: str) -> Database:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return Database(path)


def test_a_new_experiment_has_nothing(path: Path) -> None:
    database = Database(path)
    assert database.profile() is None
    assert database.events() == []
    assert database.messages() == []
    assert database.last_message() == 0


def test_what_comes_after_a_row(path: Path) -> None:
    database = filled(
        path,
        "insert into ExperimentProfile values ('old', 0), ('new', 1)",
        "insert into TrialJobEvent values (10, 'a', 'WAITING'), (20, 'a', 'RUNNING')",
        "insert into MetricData values (15, 'a', 'PERIODICAL', '1'), (25, 'a', 'FINAL', '2')",
    )
    assert database.profile() == "new"
    assert database.events() == [Event(1, "a", "WAITING", 10), Event(2, "a", "RUNNING", 20)]
    assert database.events(1) == [Event(2, "a", "RUNNING", 20)]
    assert database.messages() == [
        Message(1, "a", "PERIODICAL", "1", 15),
        Message(2, "a", "FINAL", "2", 25),
    ]
    assert database.messages(2) == []
    assert database.last_message() == 2


@pytest.mark.parametrize("write", [None, os.mkfifo, os.mkdir, lambda p: p.write_bytes(b"x" * 4096)])
@pytest.mark.parametrize("question", ["profile", "events", "messages", "last_message"])
def test_what_cannot_be_read(question: str, write: Any, tmp_path: Path, message: Any) -> None:
    path = tmp_path / "nni.sqlite"
    if write is not None:
        write(path)
    assert message(DatabaseError, getattr(Database(path), question))
    assert path.exists() is (write is not None)
