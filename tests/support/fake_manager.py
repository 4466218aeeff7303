"""A manager that is not NNI's, and an experiment that it runs."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nni_darts.experiment import loopback
from nni_darts.experiment.running import Running


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


def fake_running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """An experiment to be run in a folder, without NNI."""
    monkeypatch.setattr("nni.experiment.Experiment", FakeExperiment)
    monkeypatch.setattr("nni_darts.experiment.ports.is_free", lambda port: True)
    monkeypatch.setenv("NODE_OPTIONS", "")
    monkeypatch.setenv(loopback.HOST, "")
    copy = SimpleNamespace(experiment_working_directory=str(folder))
    service = SimpleNamespace(platform="local")
    config = SimpleNamespace(training_service=service, canonical_copy=lambda: copy)
    return Running(config, loopback.LOOPBACK)


Server = tuple[int, dict[str, str]]
"""Port of a manager, and what it says of itself."""


@contextmanager
def fake_manager() -> Iterator[Server]:
    """A manager that answers at a port."""
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
