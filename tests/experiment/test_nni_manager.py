from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from nni_darts.experiment.nni_manager import cancel, set_max_trials

Requests = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def server() -> Iterator[tuple[int, Requests]]:
    requests: Requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.endswith("/api/v1/nni/experiment")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"id": "ours"}).encode())

        def do_PUT(self) -> None:
            length = int(self.headers["Content-Length"])
            requests.append((self.path, json.loads(self.rfile.read(length))))
            self.send_response(200)
            self.end_headers()

        def do_DELETE(self) -> None:
            requests.append((self.path, {}))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made.server_port, requests
    made.shutdown()


@pytest.mark.parametrize("prefix", ["", "/a/b"])
def test_it_asks_the_manager_of_this_experiment(
    server: tuple[int, Requests], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, requests = server
    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://localhost:{port}{prefix}/tuner")
    set_max_trials("ours", 7)
    path = f"{prefix}/api/v1/nni/experiment?update_type=MAX_TRIAL_NUM"
    assert requests == [(path, {"params": {"maxTrialNumber": 7}})]


def test_a_trial_is_cancelled(
    server: tuple[int, Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, requests = server
    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://localhost:{port}/tuner")
    cancel("ours", "abcde")
    assert requests == [("/api/v1/nni/trial-jobs/abcde", {})]


def test_another_experiments_manager_is_let_be(
    server: tuple[int, Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, requests = server
    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://localhost:{port}/tuner")
    for ask in (lambda: set_max_trials("another", 7), lambda: cancel("another", "abcde")):
        with pytest.raises(OSError, match="serves experiment ours, not another: it is not asked"):
            ask()
    assert requests == []


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n\r\n[[", b""])
def test_a_server_of_something_else_is_let_be(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://localhost:{port}/tuner")
        with pytest.raises(OSError, match=r"serves experiment None|speak HTTP|closed connection"):
            cancel("ours", "abcde")
        thread.join(10)
    assert [line.split()[0] for line in asked] == [b"GET"]


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NNI_TUNER_COMMAND_CHANNEL", raising=False)
    set_max_trials("ours", 7)
    cancel("ours", "abcde")


def test_a_manager_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", "ws://localhost:1/tuner")
    with pytest.raises(OSError, match="refused"):
        set_max_trials("ours", 7)
