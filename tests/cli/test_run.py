from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_manager import Server

from experiments import SETTINGS, WHOLE, A, ended, searched, store
from nni_darts._common import signals
from nni_darts.cli import run
from nni_darts.cli.main import main
from nni_darts.experiment import loopback, nni_database
from nni_darts.experiment.running import Running
from nni_darts.tasks.registry import parse


@pytest.mark.parametrize(("number", "status"), [(1, 129), (2, 130), (15, 143)])
def test_what_ends_the_command_ends_the_experiment(
    number: int,
    status: int,
    running: Running,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("nni_darts.experiment.check.check", lambda path: (SimpleNamespace(), None))
    monkeypatch.setattr(run, "Running", lambda config, host: running)
    monkeypatch.setattr(run, "require_way_back", lambda config, host, port: [])

    def follow(running: Running, settings: Any) -> str:
        os.kill(os.getpid(), number)
        raise AssertionError("it goes on")

    monkeypatch.setattr(run, "_follow", follow)
    assert main(["run", "file.yml", "--port", str(server[0])]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"{signals.ended_by(number)}: stopping experiment ours; go on with: nnictl resume ours"
    )
    assert running._nni.stopped == [True]
    assert isinstance(running.stored, nni_database.Experiment)


class Stored:
    """An experiment of which NNI says its states one by one, over what is stored of it."""

    id = "abc"
    port = 8080
    address = "http://localhost:8080"

    def __init__(self, stored: nni_database.Experiment, *states: str) -> None:
        self.stored = stored
        self.states = list(states)
        self.stopped = False

    def start(self, port: int | None) -> None:
        """Nothing to be started."""

    def status(self) -> str:
        return self.states.pop(0)

    def stop(self) -> None:
        self.stopped = True


def followed(monkeypatch: pytest.MonkeyPatch, running: Stored, *options: str) -> int:
    settings = parse(SETTINGS)
    config = SimpleNamespace(training_service=SimpleNamespace(platform="local"))
    monkeypatch.setattr("nni_darts.experiment.check.check", lambda path: (config, settings))
    monkeypatch.setattr(run, "Running", lambda config, host: running)
    monkeypatch.setattr(run, "POLL_SECONDS", 0.0)
    status = main(["run", "file.yml", *options])
    assert running.stopped
    return status


def test_each_epoch_and_each_end_is_told_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = store(home, "abc", [searched(0, (-3.0, A)), ended("FAILED", "search-1")])
    running = Stored(stored, "RUNNING", "RUNNING", "DONE")
    assert followed(monkeypatch, running) == 1
    printed = capsys.readouterr()
    first, *lines = printed.out.splitlines()
    assert first == (
        f"experiment abc  web UI http://localhost:8080  files {home}/nni-experiments/abc"
    )
    starts = [" ".join(line.split()[:5]) for line in lines]
    assert starts == [
        "trial trial0 search-0 epoch 1/2",
        "trial trial0 search-0 epoch 2/2",
        "trial trial0 search-0 succeeded",
        "trial trial1 search-1 epoch 1/2",
        "trial trial1 search-1 epoch 2/2",
        "trial trial1 search-1 failed",
    ]
    assert printed.err == (
        "error: experiment abc ended as DONE; failed for good: search-1; the logs are in "
        f"{home}/nni-experiments/abc\n"
    )


def test_all_is_well_where_each_run_has_succeeded(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert followed(monkeypatch, Stored(store(home, "abc", WHOLE), "DONE")) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", ["STOPPED", "ERROR"])
def test_an_end_before_the_end_is_an_error(
    status: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert followed(monkeypatch, Stored(store(home, "abc", WHOLE), status)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"ended as {status}; it did not come to its end; " in line


def test_a_tuner_with_nothing_to_run_is_waited_for_so_long(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PATIENCE", -1.0)
    idle = Stored(store(home, "abc", WHOLE), "TUNER_NO_MORE_TRIAL", "DONE")
    assert followed(monkeypatch, idle) == 1
    assert idle.states == ["DONE"]
    busy = store(home, "abd", [*WHOLE[:1], ended("RUNNING", "search-1")])
    busy_one = Stored(busy, "TUNER_NO_MORE_TRIAL", "STOPPED")
    followed(monkeypatch, busy_one)
    assert busy_one.states == []


def test_a_trial_that_failed_says_why(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = store(home, "abc", [ended("FAILED", "search-0")])
    log = stored.folder / "environments/local-env/trials/trial0/trial.stderr"
    log.parent.mkdir(parents=True)
    log.write_text("Traceback\nValueError: too \x1b[2J large\n\n")
    followed(monkeypatch, Stored(stored, "DONE"))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == r"trial trial0 search-0  failed: ValueError: too \x1b[2J large"


def test_who_opens_it_to_the_network_is_warned(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = Stored(store(home, "abc", WHOLE), "DONE")
    assert followed(monkeypatch, running, "--host", loopback.ALL) == 0
    assert capsys.readouterr().err == f"{loopback.warning(8080)}\n"


def test_the_line_for_nnictl_is_for_the_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=99")
    assert main(["env"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("export ")
    assert "--max-old-space-size=99" in line
    assert str(loopback.SCRIPT) in line
