"""NNI's own Node, with a program at the path of NNI's manager that listens as it does."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nni_node
import psutil
import pytest
from live import free_port, until

from nni_darts.cli.main import main
from nni_darts.experiment import loopback

NODE = Path(nni_node.__path__[0]) / "node"
MANAGER = """
const http = require("http");
const port = Number(process.argv[2]);
const how = { port: [port], host: [port, "0.0.0.0"], options: [{ port }] }[process.argv[3]];
const server = http.createServer((_, answer) => answer.end(process.env.NODE_OPTIONS || "none"));
server.listen(...how, () => console.log(server.address().address));
"""

Start = Callable[..., tuple[subprocess.Popen[str], int, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program; returns it, its port and the address that it listens at."""
    running: list[subprocess.Popen[str]] = []

    def started(
        how: str = "port", folder: str = "nni_node", **environment: str
    ) -> tuple[subprocess.Popen[str], int, str]:
        script = tmp_path / folder / "main.js"
        script.parent.mkdir(exist_ok=True)
        script.write_text(MANAGER)
        port = free_port()
        plain = {k: v for k, v in os.environ.items() if k not in ("NODE_OPTIONS", loopback.HOST)}
        process = subprocess.Popen(
            [str(NODE), str(script), port, how],
            env=plain | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        return process, int(port), process.stdout.readline().strip()

    yield started
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", ["port", "host", "options"])
def test_a_manager_is_on_loopback(start: Start, how: str) -> None:
    _, port, address = start(how, NODE_OPTIONS=loopback.node_options({}))
    assert address == "127.0.0.1"
    assert not loopback.is_exposed(port)


def test_the_users_word_opens_it(start: Start) -> None:
    options = loopback.node_options({})
    _, port, address = start(NODE_OPTIONS=options, NNI_DARTS_HOST="0.0.0.0")
    assert address in ("::", "0.0.0.0")
    assert loopback.is_exposed(port)


def test_other_programs_listen_where_they_like(start: Start) -> None:
    _, port, _ = start(folder="other", NODE_OPTIONS=loopback.node_options({}))
    assert loopback.is_exposed(port)


def test_what_a_manager_starts_is_left_alone(start: Start) -> None:
    options = loopback.node_options({"NODE_OPTIONS": "--no-warnings"})
    assert loopback.node_options({"NODE_OPTIONS": options}) == options
    _, port, _ = start(NODE_OPTIONS=options)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}") as answer:
        assert answer.read() == b"--no-warnings"


def test_a_shell_takes_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0
    line = capsys.readouterr().out.strip()
    shell = ["bash", "-c", f'{line}; exec "$0" -p 1', str(NODE)]
    run = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert run.stdout == "1\n", run.stderr
    assert str(loopback.SCRIPT) in shlex.split(line)[1]


def test_a_manager_that_is_resumed_goes_back(start: Start, tmp_path: Path) -> None:
    _, port, _ = start(NODE_OPTIONS=loopback.node_options({}))
    assert not loopback.keep(tmp_path, port, None)  # noted
    process, port, _ = start()
    assert loopback.is_exposed(port)
    assert loopback.keep(tmp_path, port, process.pid)
    assert not loopback.is_exposed(port)
    own = psutil.Process(process.pid)
    # The inspector, by which it was told, is closed again.
    until(lambda: [c for c in _listening(own) if c == ("127.0.0.1", port)] == _listening(own), 10)


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    connections = psutil.net_connections("tcp")
    return [
        (c.laddr.ip, c.laddr.port)
        for c in connections
        if c.pid == process.pid and c.status == psutil.CONN_LISTEN
    ]


def test_one_that_was_open_stays_so(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, port, _ = start()
    assert not loopback.keep(tmp_path, port, process.pid)
    assert loopback.is_exposed(port)
    # The user's word on a resume.
    (tmp_path / loopback.MARKER).touch()
    monkeypatch.setenv(loopback.HOST, loopback.ALL)
    assert not loopback.keep(tmp_path, port, process.pid)
    assert loopback.is_exposed(port)
    assert not (tmp_path / loopback.MARKER).exists()


def test_one_that_cannot_be_moved(start: Start, tmp_path: Path) -> None:
    _, port, _ = start()
    (tmp_path / loopback.MARKER).touch()
    with pytest.raises(loopback.OpenError, match="now listens on all network interfaces"):
        loopback.keep(tmp_path, port, None)


def test_tensorboard_is_on_loopback_too(start: Start, tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = tmp_path / "bin" / "tensorboard"
    program.parent.mkdir()
    code = f'import sys\nopen({str(said)!r}, "w").write(repr(sys.argv))'
    program.write_text(f"#!{sys.executable}\n{code}")
    program.chmod(0o755)
    script = tmp_path / "nni_node" / "main.js"
    script.parent.mkdir()
    # As nniTensorboardManager.js does.
    how = '["--bind_all --logdir_spec=x"], {shell: true}'
    script.write_text(f'require("child_process").spawn("tensorboard", {how})')
    environment = {**os.environ, "NODE_OPTIONS": loopback.node_options({})}
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"
    subprocess.run([str(NODE), str(script)], env=environment, check=True)
    assert "'--host=127.0.0.1', '--logdir_spec=x'" in said.read_text()


def test_the_script_is_quoted_for_node() -> None:
    assert loopback.node_options({}) == f"--require {json.dumps(str(loopback.SCRIPT))}"
