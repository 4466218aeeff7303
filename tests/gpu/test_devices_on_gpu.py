"""Trials that share a GPU, and one that is too large for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nni_darts.runs.stages import search
from nni_darts.tasks.registry import parse_run
from nni_darts.training.memory import OutOfMemoryError

pytestmark = pytest.mark.gpu

HOLD = """
import sys, time
from pathlib import Path
from nni_darts.training.devices import free_devices
with free_devices(locks=Path(sys.argv[1])) as devices:
    print(*devices, flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_two_trials_take_two_gpus_or_queue(tmp_path: Path) -> None:
    count = torch.cuda.device_count()
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    first = subprocess.Popen([*command, "5"], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    here = first.stdout.readline().strip()
    second = subprocess.run(
        [*command, "0"], capture_output=True, text=True, check=True, timeout=120
    )
    there = second.stdout.strip().splitlines()[-1]
    assert here.startswith("cuda:")
    assert there.startswith("cuda:")
    assert (here != there) == (count > 1)
    assert ("waiting for a GPU" in second.stdout) == (count == 1)
    first.wait()


def test_out_of_memory_is_one_line_of_advice(tmp_path: Path) -> None:
    run = parse_run(
        {
            "stage": "search",
            "seed": 0,
            "space": {"name": "DartsCNN", "channels": 16, "num_cells": 8},
            "data": {"name": "digits"},
            "search": {"seeds": [0], "epochs": 1, "batch_size": 512},
        }
    )
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(300 * 2**20 / total)
    try:
        with pytest.raises(OutOfMemoryError) as caught:
            search(run, tmp_path / "run", lambda report: None)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    text = str(caught.value)
    assert "\n" not in text
    assert "batch_size" in text
    assert "recompute" in text
