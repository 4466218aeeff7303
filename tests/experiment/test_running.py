"""An experiment that is run, against a manager that is not NNI's."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nni_darts._common import signals
from nni_darts._common.validation import SettingsError
from nni_darts.cli import run
from nni_darts.cli.main import main
from nni_darts.experiment import loopback, nni_database
from nni_darts.experiment.running import GoneError, Running, StartError, require_way_back


class FakeProcess:
    killed = False

    def kill(self) -> None:
        self.killed = True

    def wait(self) -> None:
        pass


class FakeExperiment:
    """NNI's `Experiment`, as far as it is used; at its port another manager may be."""

    id = "ours"

    def __init__(self, config: Any) -> None:
        self._proc: FakeProcess | None = None
        self.process = FakeProcess()
        self.environment: dict[str, str] = {}
        self.stopped: list[bool] = []

    def start(self, port: int, run_mode: Any) -> None:
        self.environment = dict(os.environ)
        self._proc = self.process

    def get_status(self) -> str:
        return "RUNNING"

    def stop(self) -> None:
        """It asks the manager at the port to stop if it has a process."""
        self.stopped.append(self._proc is not None)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr("nni.experiment.Experiment", FakeExperiment)
    monkeypatch.setattr("nni_darts.experiment.ports.is_free", lambda port: True)
    monkeypatch.setenv("NODE_OPTIONS", "")
    monkeypatch.setenv(loopback.HOST, "")
    copy = SimpleNamespace(experiment_working_directory=str(tmp_path))
    service = SimpleNamespace(platform="local")
    config = SimpleNamespace(training_service=service, canonical_copy=lambda: copy)
    return Running(config, loopback.LOOPBACK)


@pytest.fixture
def server() -> Iterator[tuple[int, dict[str, str]]]:
    served = {"id": "ours"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(served).encode())

        def log_message(self, *args: Any) -> None:
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made.server_port, served
    made.shutdown()


Server = tuple[int, dict[str, str]]


def test_ours_is_started_asked_and_stopped(running: Running, server: Server) -> None:
    running.start(server[0])
    nni = running._nni
    assert str(loopback.SCRIPT) in nni.environment["NODE_OPTIONS"]
    assert nni.environment[loopback.HOST] == loopback.LOOPBACK
    assert running.status() == "RUNNING"
    running.stop()
    assert nni.stopped == [True]
    assert not nni.process.killed


def test_where_another_manager_took_the_port_it_is_let_be(running: Running, server: Server) -> None:
    server[1]["id"] = "another"
    with pytest.raises(StartError, match="serves experiment another, not ours: it is not asked"):
        running.start(server[0])
    assert running._nni.stopped == [False]
    assert running._nni.process.killed


def test_one_that_came_later_is_let_be_too(running: Running, server: Server) -> None:
    running.start(server[0])
    server[1]["id"] = "another"
    with pytest.raises(GoneError, match="serves experiment another"):
        running.status()
    running.stop()
    assert running._nni.stopped == [False]


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


def remote(ip: str | None) -> Any:
    machine = SimpleNamespace(host="gpu1", port=22, user="me")
    service = SimpleNamespace(platform="remote", machine_list=[machine])
    return SimpleNamespace(training_service=service, nni_manager_ip=ip)


def test_remote_machines_come_back_through_a_tunnel() -> None:
    commands = require_way_back(remote("127.0.0.1"), loopback.LOOPBACK, 8080)
    assert commands == ["ssh -N -R 8080:127.0.0.1:8080 -p 22 me@gpu1"]
    assert require_way_back(remote("10.0.0.1"), loopback.ALL, 8080) == []
    for ip in (None, "10.0.0.1"):
        with pytest.raises(SettingsError, match="nniManagerIp: must be 127"):
            require_way_back(remote(ip), loopback.LOOPBACK, None)
