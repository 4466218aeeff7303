"""The way of a user, with NNI's manager and real trials."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nni_darts import stored
from nni_darts.genotype import Genotype
from nni_darts.reporting import MAX_KEY
from search_spaces import DartsNetwork

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def experiment_file(folder: Path, **search: Any) -> Path:
    """The shipped experiment, made tiny."""
    values = yaml.safe_load((ROOT / "experiments/darts.yml").read_text())
    values["trialCodeDirectory"] = values["tuner"]["codeDirectory"] = str(ROOT)
    settings = values["tuner"]["classArgs"]
    settings["space"] |= {"channels": 4, "num_cells": 3, "num_nodes": 2}
    settings["search"] |= {"epochs": 2, "batch_size": 256, **search}
    path = folder / "tiny.yml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def run(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of the virtual environment, as from a shell there."""

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env={**os.environ, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1"},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    return call


def free_port() -> str:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return str(candidate.getsockname()[1])


def test_nnictl_create_and_export(run: Any, home: Path, tmp_path: Path) -> None:
    config = str(experiment_file(tmp_path))
    created = run("nnictl", "create", "--config", config, "--foreground", "--port", free_port())
    assert created.returncode == 0, created.stdout + created.stderr

    experiment = stored.find(None, home / "nni-experiments")
    trials = experiment.trials()
    assert [trial.status for trial in trials] == ["SUCCEEDED", "SUCCEEDED"]
    assert sorted(trial.result["seed"] for trial in trials) == [0, 1]
    for trial in trials:
        assert sorted(trial.reports) == [0, 1]
        keys = [key for key in trial.reports[0] if "<" in key]
        assert len(keys) == 2 * 5 * 8
        assert all(len(key) <= MAX_KEY for key in keys)
        folder = Path(trial.result["output"])
        assert {"history.csv", "genotypes.json", "last.ckpt"} <= {p.name for p in folder.iterdir()}

    table = run("nni-darts", "export", "--top-k", "2")
    assert table.returncode == 0
    assert experiment.id in table.stdout
    exported = run("nni-darts", "export", experiment.id, "--top-k", "6", "--format", "json")
    rows = json.loads(exported.stdout)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row["seed"] for row in rows} == {0, 1}
    assert [row["score"] for row in rows] == sorted((r["score"] for r in rows), reverse=True)
    for row in rows:
        network = DartsNetwork(Genotype.parse(json.dumps(row["genotype"])), 4, 3, in_channels=1)
        assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    for form in ("authors", "ptdarts", "nni"):
        target = tmp_path / f"genotypes.{form}"
        written = run("nni-darts", "export", "--format", form, "-o", str(target))
        assert written.returncode == 0
        texts = [t for t in target.read_text().splitlines() if not t.startswith("#")]
        expected = [row["genotype"] for row in rows[:3]]
        assert [json.loads(Genotype.parse(t).to_json()) for t in texts] == expected


def test_nni_darts_run(run: Any, home: Path, tmp_path: Path) -> None:
    done = run("nni-darts", "run", str(experiment_file(tmp_path)), "--port", free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch 2/2  val acc" in done.stdout
    assert "normal " in done.stdout
    assert done.stdout.count("succeeded") == 2
    assert "the best 3 by score" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_diverging_search_fails_and_says_why(run: Any, home: Path, tmp_path: Path) -> None:
    config = experiment_file(tmp_path, learning_rate=1e30, gradient_clip=None)
    done = run("nni-darts", "run", str(config), "--port", free_port())
    assert done.returncode == 1
    assert "failed: error: the" in done.stdout
    assert "in epoch 0, step" in done.stdout
    assert "0 of 2 trials succeeded" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_under_plain_nnictl_fail_in_the_trials(
    run: Any, home: Path, tmp_path: Path
) -> None:
    config = experiment_file(tmp_path, epoch=3)
    created = run(
        "nnictl", "create", "--config", str(config), "--foreground", "--port", free_port()
    )
    assert created.returncode == 0
    experiment = stored.find(None, home / "nni-experiments")
    assert [trial.status for trial in experiment.trials()] == ["FAILED", "FAILED"]
    for log in experiment.folder.glob("environments/*/trials/*/trial.stderr"):
        assert "error: search.epoch: unknown key 'epoch'; did you mean 'epochs'?" in log.read_text()
        assert "Traceback" not in log.read_text()
