from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from live import until

from nni_darts._common import signals
from nni_darts.cli.main import main
from nni_darts.training.run_folder import RunFolder

RETRAIN = [
    *("retrain", "DARTS_V2", "--data", "digits", "--channels", "4", "--num-cells", "3"),
    *("--epochs", "200", "--auxiliary-weight", "0", "--cutout", "0"),
]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_told_to_end(
    number: int, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; from nni_darts.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *RETRAIN, "-o", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: (RunFolder.at(tmp_path).epochs_done() or 0) > 1, 120)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    done = RunFolder.at(tmp_path).epochs_done()
    name = signal.Signals(number).name
    assert error.splitlines()[-1] == (
        f"ended by {name} in epoch {(done or 0) + 1} of 200; go on with the same command"
    )
    assert "Traceback" not in error
    # What lies there is not what was asked for.
    test = ["evaluate", str(tmp_path / "best.ckpt"), "--data", "digits"]
    assert main(test) == 2
    assert f"its training has done {done} of 200 epochs" in capsys.readouterr().err
    assert main([*test, "--unfinished"]) == 0


def test_a_trial_dies_by_the_signal() -> None:
    code = """
import time
from nni_darts._common.signals import dying, handled_by
with handled_by(dying(lambda: "in peace", by_the_signal=True)):
    print("up", flush=True)
    time.sleep(60)
"""
    for number in signals.SIGNALS:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
        assert process.returncode == -number
        assert error == f"ended by {signal.Signals(number).name} in peace\n"


def test_any_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def show(options: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it goes on")

    monkeypatch.setattr("nni_darts.cli.networks.show", show)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["show", "DARTS_V2"]) == 143
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ended by SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before


def test_nohup_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handled_by(signals.raised):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
