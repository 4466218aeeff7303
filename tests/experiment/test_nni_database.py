"""What NNI has stored may be damaged: a line names the file, and the rest is used."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from experiments import NAME_A, WHOLE, A, ended, evaluated, searched, store
from nni_darts._common import messages
from nni_darts.cli.main import main
from nni_darts.experiment import nni_database
from nni_darts.experiment.nni_database import Experiment, StoredError


@pytest.fixture(autouse=True)
def _unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_said", set())


def change(experiment: Experiment, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(experiment.database)) as db, db:
        assert db.execute(sql, values).rowcount > 0


COMMANDS = [["export"], ["export", "--format", "json"], ["report"]]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "data", ["", "{", '"{"', "{}", '{"stage": "search"}', json.dumps({**WHOLE[1], "seed": "x"})]
)
def test_a_damaged_result_is_left_out(
    command: list[str],
    data: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    experiment = store(home, "abc", WHOLE)
    change(
        experiment,
        "update MetricData set data = ? where trialJobId = 'trial1' and type = 'FINAL'",
        data,
    )
    assert main([*command, "abc"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith(
        f"nni-darts: {experiment.database}: the result of trial trial1 is damaged: "
    )
    assert line.endswith("; it is left out")
    shown = (home / "report-abc.html").read_text() if command == ["report"] else printed.out
    assert NAME_A in shown


@pytest.mark.parametrize("data", ["{", '{"epoch": "x"}', '{"epoch": -1}', '{"key": []}'])
def test_a_damaged_report_is_left_out(
    data: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = store(home, "abc", [ended("RUNNING", "search-0")])
    change(experiment, "update MetricData set data = ? where rowid = 1", data)
    (trial,) = experiment.trials()
    assert trial.key == "search-0"
    assert list(trial.reports) == [1]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{experiment.database}: a report of trial trial0 is damaged" in line


@pytest.mark.parametrize("command", [["export"], ["report"]])
@pytest.mark.parametrize(
    "params", ["", "{", "[]", '{"tuner": 3}', '{"tuner": {"classArgs": [1]}}', '{"tuner": [1]}']
)
def test_a_damaged_experiment_file(
    command: list[str], params: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = store(home, "abc", WHOLE)
    change(experiment, "update ExperimentProfile set params = ?", params)
    assert main([*command, "abc"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"as NNI stored it in {experiment.database}, is damaged" in line


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_a_damaged_list_of_experiments(text: str, home: Path, message: Any) -> None:
    record = store(home, "abc", WHOLE).folder.parent / ".experiment"
    record.write_text(text)
    assert str(record) in message(StoredError, nni_database.require_experiment, "abc")


def test_a_list_that_is_being_written_is_read_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(home, "whole", [])
    record = home / "nni-experiments" / ".experiment"
    whole = record.read_text()
    record.write_text("")  # as NNI leaves it for a moment
    monkeypatch.setattr("time.sleep", lambda _: record.write_text(whole))
    assert [experiment.id for experiment in nni_database.experiments()] == ["whole"]


def test_a_damaged_entry_of_the_list(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = store(home, "abc", WHOLE).folder.parent / ".experiment"
    entries = json.loads(record.read_text())
    bad = {"a": 3, "b": {}, "c": {"id": 1}, "d": {"id": "x", "startTime": "y"}}
    record.write_text(json.dumps({**entries, **bad}))
    assert nni_database.require_experiment(None).id == "abc"
    assert str(record) in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "3", "{}"])
def test_a_damaged_list_of_stopped_trials(
    text: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = store(home, "abc", WHOLE)
    experiment.stopped_file.parent.mkdir()
    experiment.stopped_file.write_text(text)
    assert experiment.stopped() == []
    assert str(experiment.stopped_file) in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"issued": [1]}', '{"new": 1}'])
def test_a_damaged_state_of_the_tuner(
    text: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    experiment = store(home, "abc", WHOLE)
    state = experiment.folder / "checkpoint" / "nni_darts.json"
    state.parent.mkdir()
    state.write_text(text)
    assert main(["report", "abc"]) == 0
    # A key of a newer version is no damage.
    said = capsys.readouterr().err
    assert (f"{state} is damaged" in said) == ("new" not in text)


@pytest.mark.parametrize("test_acc", [float("nan"), float("inf")])
def test_a_test_metric_that_is_no_number(
    test_acc: float, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    store(home, "abc", [*WHOLE[:4], evaluated(A, 0, test_acc), evaluated(A, 1, 0.98)])
    assert main(["export", "--format", "json", "abc"]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    best, *_ = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert best["name"] == NAME_A
    assert best["test_acc"] is None
    assert best["test_std"] is None
    for command in (["export", "abc"], ["report", "abc"]):
        assert main(command) == 0


def test_why_a_trial_was_interrupted(home: Path) -> None:
    experiment = store(home, "abc", [ended("FAILED", "search-0")])
    said = {"default": 0.1, "key": "search-0", nni_database.INTERRUPTED: "the disk is full"}
    row = [5, "trial0", "PERIODICAL", json.dumps(json.dumps(said))]
    change(experiment, "insert into MetricData values (?, ?, ?, ?)", *row)
    (trial,) = experiment.trials()
    assert trial.cause == "the disk is full"
    assert list(trial.reports) == [0, 1]
    # It is started again, and has said nothing since.
    change(
        experiment, "insert into TrialJobEvent values (?, ?, ?)", 6, "trial0", nni_database.RESUMED
    )
    row[0] = 7
    row[3] = json.dumps(json.dumps({"default": 0.1, "epoch": 0, "key": "search-0"}))
    change(experiment, "insert into MetricData values (?, ?, ?, ?)", *row)
    (trial,) = experiment.trials()
    assert trial.cause is None


@pytest.mark.parametrize(
    ("line", "key", "unable"),
    [
        ("error: this Python, /bin/python, lacks nni", None, "this Python, /bin/python, lacks nni"),
        ("error: this Python, /bin/python, lacks nni", "search-0", None),  # it has told more
        ("ZeroDivisionError: this Python", None, None),
    ],
)
def test_a_trial_that_could_not_speak(
    line: str, key: str | None, unable: str | None, home: Path
) -> None:
    experiment = store(home, "abc", [ended("FAILED", key), ended("FAILED", key)])
    folder = experiment.folder / "environments" / "local-env" / "trials" / "trial1"
    folder.mkdir(parents=True)
    (folder / "trial.stderr").write_text(f"a warning\n{line}\n\n")
    assert [trial.unable for trial in experiment.trials()] == [None, unable]


def test_reports_of_an_epoch_that_ran_twice_count_once(home: Path) -> None:
    (trial,) = store(home, "abc", [searched(0, (-1.0, A))]).trials()
    assert sorted(trial.reports) == [0, 1]
    assert trial.status == "SUCCEEDED"
    assert trial.key == "search-0"
