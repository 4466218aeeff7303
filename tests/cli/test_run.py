from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from fake_manager import Server

from nni_darts._common import signals
from nni_darts.cli import run
from nni_darts.cli.main import main
from nni_darts.experiment import nni_database
from nni_darts.experiment.running import Running


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
