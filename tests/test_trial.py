from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from nni_darts._common.validation import SettingsError, UnavailableError
from nni_darts.experiment import loopback
from nni_darts.runs import stages
from nni_darts.runs.identity import of_run
from nni_darts.tasks.registry import parse_run
from nni_darts.tasks.settings import Run
from nni_darts.training.checkpoint import CheckpointError, UnreadableCheckpointError
from nni_darts.training.finite_losses import DivergedError
from nni_darts.training.run_folder import RunFolder
from nni_darts.trial import perform

SEARCH: dict[str, Any] = {
    "stage": "search",
    "seed": 3,
    "space": {"name": "DartsCNN"},
    "data": {"name": "digits"},
}

Sent = list[tuple[dict[str, Any], str]]


def test_outside_of_an_experiment_it_says_what_to_do() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "nni_darts.trial"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "nni-darts run FILE" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NNI's folder of an environment, with that of this trial in it."""
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path / "trials" / "abcde"))
    return tmp_path


def play(monkeypatch: pytest.MonkeyPatch, stage: Callable[..., dict[str, Any]]) -> None:
    monkeypatch.setattr(stages, "STAGES", {"search": stage})


def test_a_run_has_a_folder_of_its_own_and_reports(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(run: Run, output: Path, send: Any) -> dict[str, Any]:
        assert output == environment / "runs" / "search-3"
        send({"epoch": 0})
        return {"default": run.seed}

    play(monkeypatch, stage)
    sent: Sent = []
    assert perform(SEARCH, lambda report, kind: sent.append((report, kind))) == 0
    assert sent == [({"epoch": 0}, "PERIODICAL"), ({"default": 3}, "FINAL")]


def test_a_run_that_was_over_hands_in_its_result_without_doing_it_again(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, lambda run, output, send: {"default": 0.5})
    perform(SEARCH, lambda report, kind: None)
    # Another trial, as after a stop.
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(environment / "trials" / "fghij"))
    play(monkeypatch, lambda run, output, send: 1 / 0)  # type: ignore[arg-type, return-value]
    sent: Sent = []
    assert perform(SEARCH, lambda report, kind: sent.append((report, kind))) == 0
    assert sent == [({"default": 0.5}, "FINAL")]
    assert "this run was over before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SettingsError(["data: there is none"]), 2),
        (DivergedError("the training loss is nan"), 1),
        (CheckpointError("last.ckpt: is not a complete checkpoint"), 1),
    ],
)
def test_what_goes_wrong_is_the_last_line(
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    def stage(run: Run, output: Path, send: Any) -> dict[str, Any]:
        raise error

    play(monkeypatch, stage)
    sent: Sent = []
    assert perform(SEARCH, lambda report, kind: sent.append((report, kind))) == status
    assert sent == []
    assert not list(environment.glob("runs/*/result.json"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {error}"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(28, "No space left on device"), 1),
        (UnreadableCheckpointError("last.ckpt: cannot be read (Stale file handle)"), 1),
        (UnavailableError(["data: no complete CIFAR10, and no network"]), 2),
    ],
)
def test_what_is_no_fault_of_the_run_is_reported(
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    def stage(run: Run, output: Path, send: Any) -> dict[str, Any]:
        send({"default": 0.25, "epoch": 0, "key": "search-3"})
        raise error

    play(monkeypatch, stage)
    sent: Sent = []
    assert perform(SEARCH, lambda report, kind: sent.append((report, kind))) == status
    said = {"default": 0.25, "key": "search-3", "interrupted": str(error)}
    assert sent[1:] == [(said, "PERIODICAL")]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {error}"

    def gone(report: Any, kind: str) -> None:
        raise ConnectionError("the manager is gone")

    assert perform(SEARCH, gone) == 1


def test_it_is_reported_where_nothing_can_be_printed_either(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial's log is on the same disk."""

    def full(*arguments: object) -> Any:
        raise OSError(28, "No space left on device")

    play(monkeypatch, full)
    sent: Sent = []
    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=full, flush=lambda: None))
    assert perform(SEARCH, lambda report, kind: sent.append((report, kind))) == 1
    assert [report["interrupted"] for report, _ in sent] == ["[Errno 28] No space left on device"]


NAMED = {"key": "search-3", "settings": of_run(parse_run(SEARCH)).digest}


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", "{", '{"default": 0.9}', json.dumps({**NAMED, "result": {}})],
)
def test_a_damaged_result_is_not_believed(
    content: str,
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = environment / "runs" / "search-3" / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    play(monkeypatch, lambda run, output, send: {"default": 0.5})
    sent: Sent = []
    assert perform(SEARCH, lambda report, kind: sent.append((report, kind))) == 0
    assert sent == [({"default": 0.5}, "FINAL")]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path} ")
    assert line.endswith("put aside as result.json.damaged; the run goes on without it")
    assert path.with_name("result.json.damaged").read_text() == content
    assert json.loads(path.read_text()) == {**NAMED, "result": {"default": 0.5}}


@pytest.mark.parametrize("change", [{"seed": 4}, {"data": {"name": "cifar10"}}])
def test_a_result_of_another_run_is_not_believed(
    change: dict[str, Any],
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = environment / "runs" / "search-3"
    folder.mkdir(parents=True)
    RunFolder.at(folder).keep_result(of_run(parse_run({**SEARCH, **change})), {"default": 0.9})
    before = (folder / "result.json").read_bytes()
    play(monkeypatch, lambda run, output, send: 1 / 0)  # type: ignore[arg-type, return-value]
    assert perform(SEARCH, lambda report, kind: pytest.fail("it was believed")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {folder / 'result.json'} is the result of another run (search")
    assert (folder / "result.json").read_bytes() == before


def test_wrong_parameters(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform({**SEARCH, "stage": "serach"}, lambda report, kind: None) == 2
    assert "error: stage: input should be" in capsys.readouterr().err
    assert not (environment / "runs").exists()


def test_a_run_that_another_process_still_does_is_waited_for(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = environment / "runs" / "search-3"
    folder.mkdir(parents=True)
    other = FileLock(folder / "lock")
    other.acquire()
    play(monkeypatch, lambda run, output, send: 1 / 0)  # type: ignore[arg-type, return-value]
    sent: Sent = []
    trial = threading.Thread(target=perform, args=(SEARCH, lambda r, kind: sent.append((r, kind))))
    trial.start()
    time.sleep(0.5)
    assert trial.is_alive()
    # The other one ends with a result.
    RunFolder.at(folder).keep_result(of_run(parse_run(SEARCH)), {"default": 0.1})
    other.release()
    trial.join(timeout=10)
    assert sent == [({"default": 0.1}, "FINAL")]
    assert "waiting for another process to leave" in capsys.readouterr().out


def test_a_local_search_tells_where_it_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = tmp_path / "environments" / "local-env" / "trials" / "abcde"
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(trial))
    monkeypatch.setenv("NNI_PLATFORM", "local")
    url = "http://localhost:8081/prefix/env/local-env/abcde"
    monkeypatch.setenv("NNI_TRIAL_COMMAND_CHANNEL", url)
    play(monkeypatch, lambda run, output, send: {"default": 0.5})
    perform(SEARCH, lambda report, kind: None)
    assert "alphas" not in capsys.readouterr().out  # there is no such page
    events = tmp_path / "trials" / "abcde" / "output" / "tensorboard"
    assert events.resolve() == trial.parents[1] / "runs" / "search-3" / "tensorboard"
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "alphas.html").touch()
    perform(SEARCH, lambda report, kind: None)
    assert "at http://localhost:8081/prefix/logs/alphas.html" in capsys.readouterr().out


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.0.1"])
def test_an_exposed_manager_is_told_of_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
) -> None:
    monkeypatch.delenv(loopback.HOST, raising=False)
    monkeypatch.setenv("NNI_PLATFORM", "local")
    play(monkeypatch, lambda run, output, send: {"default": 0.5})
    with socket.socket() as listening:
        listening.bind((host, 0))
        listening.listen()
        port = listening.getsockname()[1]
        said = []
        for name in ("abcde", "fghij"):
            folder = tmp_path / "environments" / "local-env" / "trials" / name
            monkeypatch.setenv("NNI_OUTPUT_DIR", str(folder))
            url = f"http://localhost:{port}/env/local-env/{name}"
            monkeypatch.setenv("NNI_TRIAL_COMMAND_CHANNEL", url)
            assert perform(SEARCH, lambda report, kind: None) == 0
            said.append(loopback.warning(port) in capsys.readouterr().out)
        # One that the user has opened.
        monkeypatch.setenv(loopback.HOST, loopback.ALL)
        (tmp_path / loopback.TOLD).unlink(missing_ok=True)
        assert loopback.notice(tmp_path, port) is None
    assert said == [host != "127.0.0.1", False]


def test_an_unwritable_folder_is_found_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NNI_OUTPUT_DIR", "/dev/null/trials/abcde")
    assert perform(SEARCH, lambda report, kind: None) == 2
    assert "error: the output directory of the run: /dev/null" in capsys.readouterr().err
