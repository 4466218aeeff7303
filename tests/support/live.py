"""What tests of running experiments share."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from nni_darts.experiment import loopback, nni_database

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

RUNS = 2 + 2 + 1


def experiment_file(folder: Path, **search: Any) -> Path:
    """The shipped experiment, made tiny."""
    values = yaml.safe_load((ROOT / "experiments/darts.yml").read_text())
    values["trialCodeDirectory"] = values["tuner"]["codeDirectory"] = str(ROOT)
    values["assessor"]["codeDirectory"] = str(ROOT)
    values["maxTrialNumber"] = RUNS
    settings = values["tuner"]["classArgs"]
    settings["space"] |= {"channels": 4, "num_cells": 3, "num_nodes": 2}
    settings["search"] |= {"epochs": 3, "batch_size": 256, **search}
    small = {"channels": 4, "num_cells": 3, "epochs": 5, "learning_rate": 0.1}
    settings["select"] |= small
    settings["evaluate"] |= {**small, "seeds": [0]}
    path = folder / "tiny.yml"
    path.write_text(yaml.safe_dump(values))
    return path


class Shell:
    """Commands of the virtual environment, as from a shell with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        self.env = {**os.environ, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1"}
        # Nothing that a test starts is for others of the network.
        self.env["NODE_OPTIONS"] = loopback.node_options(os.environ)

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    @property
    def experiment(self) -> nni_database.Experiment:
        return nni_database.require_experiment(None, self.home / "nni-experiments")


def until(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """The first true value of a condition; AssertionError if it takes too long."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it takes too long"
        time.sleep(0.05)
    return found


def free_port() -> str:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return str(candidate.getsockname()[1])


def status(port: str) -> str:
    with urllib.request.urlopen(f"http://localhost:{port}/api/v1/nni/check-status") as answer:
        return str(json.load(answer)["status"])
