from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nni_darts.experiment.database import DatabaseError
from nni_darts.experiment.nni_database import Experiment
from nni_darts.experiment.resumed_trials import ResumedTrials


class Tables:
    """NNI's tables of an experiment, to be written to."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        experiment.database.parent.mkdir(parents=True)
        self.connection = sqlite3.connect(experiment.database, isolation_level=None)
        self.connection.execute("create table TrialJobEvent (timestamp int, trialJobId, event)")
        self.connection.execute("create table MetricData (timestamp int, trialJobId, type, data)")

    def event(self, trial: str, *names: str) -> None:
        for name in names:
            self.connection.execute("insert into TrialJobEvent values (0, ?, ?)", [trial, name])

    def message(self, trial: str, value: Any, kind: str = "PERIODICAL") -> None:
        row = [trial, kind, json.dumps(json.dumps(value))]
        self.connection.execute("insert into MetricData values (0, ?, ?, ?)", row)

    def resumed(self) -> ResumedTrials:
        return ResumedTrials(self.experiment)


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    made = Tables(Experiment("abc", tmp_path / "abc"))
    with closing(made.connection):
        yield made


@pytest.mark.parametrize(
    ("events", "resumed"),
    [
        (["WAITING"], True),
        (["WAITING", "RUNNING"], True),
        (["RUNNING", "USER_CANCELED", "ADD_RESUMED"], True),
        (["RUNNING", "USER_TO_CANCEL"], True),
        (["RUNNING", "SUCCEEDED"], False),
        (["RUNNING", "FAILED"], False),
    ],
)
def test_only_trials_that_are_not_over(events: list[str], resumed: bool, tables: Tables) -> None:
    tables.event("a", *events)
    found = tables.resumed()
    tables.message("a", {"epoch": 0})
    assert list(found.news()) == [("a", {"epoch": 0})] * resumed


def test_news_are_what_came_since_and_come_once(tables: Tables) -> None:
    tables.event("a", "RUNNING")
    tables.message("a", {"epoch": 0})
    found = tables.resumed()
    assert list(found.news()) == []
    tables.event("new", "RUNNING")
    tables.message("new", {"epoch": 9})
    tables.message("a", {"epoch": 1})
    tables.message("a", {"epoch": 2})
    assert list(found.news()) == [("a", {"epoch": 1}), ("a", {"epoch": 2})]
    assert list(found.news()) == []


def test_the_last_report_comes_before_the_end_and_nothing_after_it(tables: Tables) -> None:
    tables.event("a", "RUNNING")
    found = tables.resumed()
    tables.event("a", "USER_TO_CANCEL")
    assert list(found.news()) == []
    tables.event("a", "EARLY_STOPPED")
    tables.message("a", {"epoch": 1})
    assert list(found.news()) == [("a", {"epoch": 1}), ("a", "EARLY_STOPPED")]
    tables.message("a", {"epoch": 2})
    tables.event("a", "SUCCEEDED")
    assert list(found.news()) == []


def test_what_is_no_report_is_left_out(tables: Tables) -> None:
    tables.event("a", "RUNNING")
    found = tables.resumed()
    tables.message("a", {"default": 1.0}, "FINAL")
    tables.message("a", 0.5)
    tables.connection.execute("insert into MetricData values (0, 'a', 'PERIODICAL', '{')")
    tables.message("a", {"epoch": 1})
    assert list(found.news()) == [("a", {"epoch": 1})]


def test_a_new_experiment_has_none(tmp_path: Path) -> None:
    found = ResumedTrials(Experiment("abc", tmp_path / "abc"))
    with pytest.raises(DatabaseError, match="unable to open database file"):
        list(found.news())
    tables = Tables(Experiment("abc", tmp_path / "abc"))
    with closing(tables.connection):
        tables.event("a", "RUNNING")
        tables.message("a", {"epoch": 0})
        assert list(found.news()) == []
