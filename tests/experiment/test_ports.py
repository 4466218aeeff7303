from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from live import free_port

from nni_darts._common.validation import SettingsError
from nni_darts.experiment import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_one_that_is_taken(taken: int) -> None:
    with pytest.raises(SettingsError, match=f"--port: {taken} is taken; choose"):
        with ports.held(taken):
            pass
    with pytest.raises(SettingsError, match=f"{taken}, which remote machines need, too, is taken"):
        with ports.held(taken - 1, 2):
            pass


def test_the_first_free_one(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FIRST", taken)
    with ports.held() as port:
        assert port > taken


def test_two_that_start_at_once_do_not_choose_the_same() -> None:
    """The second one gets to look when the first one listens."""
    code = """
import socket, sys, time
from nni_darts.experiment import ports
ports.FIRST = int(sys.argv[1])
with ports.held() as port:
    time.sleep(0.5)
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
print(port, flush=True)
input()
"""
    first = free_port()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, first],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    found = [process.stdout.readline() for process in both if process.stdout is not None]
    for process in both:
        process.communicate("\n")
    assert len(set(found)) == 2
    assert all(line.strip() for line in found)
