from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from nni_darts.training.devices import Gpu, free_devices

GPUS = [Gpu(0, "a", 0.9), Gpu(1, "b", 0.01), Gpu(2, "c", 0.0)]


def test_cpu_where_there_is_no_gpu(tmp_path: Path) -> None:
    with free_devices(1, [], tmp_path) as (device,):
        assert device == torch.device("cpu")


def test_the_first_free_gpu_is_taken_and_given_back(tmp_path: Path) -> None:
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device == torch.device("cuda", 1)
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device.index == 1


@pytest.fixture
def someone_leaves(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], list[float]]:
    """Lets a call be made while `free_devices` sleeps; the pauses so far."""

    def arrange(leave: Callable[[], None]) -> list[float]:
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                leave()

        monkeypatch.setattr("nni_darts.training.devices.time.sleep", sleep)
        return pauses

    return arrange


def test_trials_take_different_gpus_then_queue(
    tmp_path: Path, someone_leaves: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as one, ExitStack() as two:
        (first,) = one.enter_context(free_devices(1, GPUS, tmp_path))
        (second,) = two.enter_context(free_devices(1, GPUS, tmp_path))
        assert (first.index, second.index) == (1, 2)
        pauses = someone_leaves(two.close)
        with free_devices(1, GPUS, tmp_path) as (third,):
            assert third.index == 2
        assert len(pauses) == 3
    assert capsys.readouterr().out == "waiting for a GPU: other trials hold 2\n"


def test_a_gpu_that_other_programs_fill_is_not_waited_for(tmp_path: Path) -> None:
    with free_devices(1, [Gpu(0, "a", 0.9)], tmp_path) as (device,):
        assert device.type == "cpu"


def test_it_is_given_back_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), free_devices(1, GPUS, tmp_path):
        raise RuntimeError
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device.index == 1


def test_the_gpu_of_a_killed_trial_is_free_again(tmp_path: Path) -> None:
    code = f"""
        from pathlib import Path
        from nni_darts.training.devices import Gpu, free_devices
        with free_devices(1, [Gpu(1, "b", 0.0)], Path({str(tmp_path)!r})) as (device,):
            print(device.index, flush=True)
            input()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "1"
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device.index == 2
    other.kill()
    other.wait()
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device.index == 1


def test_several_gpus_at_once(tmp_path: Path, someone_leaves: Any) -> None:
    with free_devices(2, GPUS, tmp_path) as devices:
        assert [device.index for device in devices] == [1, 2]
    with ExitStack() as one:
        one.enter_context(free_devices(1, GPUS, tmp_path))
        pauses = someone_leaves(one.close)
        with free_devices(2, GPUS, tmp_path) as devices:
            assert [device.index for device in devices] == [1, 2]
        assert len(pauses) == 3
    with pytest.raises(ValueError, match="devices must be at most 2, the free GPUs, got 3"):
        with free_devices(3, GPUS, tmp_path):
            pass
    with free_devices(2, GPUS, tmp_path) as devices:
        assert len(devices) == 2
