from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from nni_darts.device import Gpu, free_devices

GPUS = [Gpu(0, "a", 0.9), Gpu(1, "b", 0.01), Gpu(2, "c", 0.0)]


def test_cpu_where_there_is_no_gpu(tmp_path: Path) -> None:
    with free_devices(1, [], tmp_path) as (device,):
        assert device == torch.device("cpu")


def test_the_first_free_gpu_is_taken_and_given_back(tmp_path: Path) -> None:
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device == torch.device("cuda", 1)
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device.index == 1


def test_trials_take_different_gpus_until_none_is_left(tmp_path: Path) -> None:
    with free_devices(1, GPUS, tmp_path) as (first,), free_devices(1, GPUS, tmp_path) as (second,):
        assert (first.index, second.index) == (1, 2)
        with free_devices(1, GPUS, tmp_path) as (third,):
            assert third.type == "cpu"


def test_it_is_given_back_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), free_devices(1, GPUS, tmp_path):
        raise RuntimeError
    with free_devices(1, GPUS, tmp_path) as (device,):
        assert device.index == 1


def test_the_gpu_of_a_killed_trial_is_free_again(tmp_path: Path) -> None:
    code = f"""
        from pathlib import Path
        from nni_darts.device import Gpu, free_devices
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


def test_several_gpus_at_once(tmp_path: Path) -> None:
    with free_devices(2, GPUS, tmp_path) as devices:
        assert [device.index for device in devices] == [1, 2]
        with free_devices(2, GPUS, tmp_path) as others:
            assert others == [torch.device("cpu")]
    with pytest.raises(ValueError, match="devices must be at most 2, the free GPUs, got 3"):
        with free_devices(3, GPUS, tmp_path):
            pass
    with free_devices(2, GPUS, tmp_path) as devices:
        assert len(devices) == 2
