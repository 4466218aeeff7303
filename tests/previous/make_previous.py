"""Maker of the archives beside it: experiments as this version of the package stores them.

    python tests/previous/make_previous.py

It was run with the last version before the modules were put into rooms. The tests read what it
left with the version of today; it is run again only where a format changes on purpose.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from live import Shell, experiment_file, free_port, until

HERE = Path(__file__).parent
EPOCHS = 30
AFTER = 3
"""Epochs after which the one search is stopped."""
UNNEEDED = {"nni-code", "tensorboard", "alphas.html", "previous.ckpt", "log"}


def searches(folder: Path, epochs: int, **classes: Any) -> Path:
    """The tiny experiment with one search, and one network trained in full if `evaluate` is."""
    path = experiment_file(folder, epochs=epochs, seeds=[0])
    values = yaml.safe_load(path.read_text())
    settings = values["tuner"]["classArgs"]
    values["maxTrialNumber"] = 1
    settings["search"]["batch_size"] = 64
    settings["select"] = None
    if classes.get("evaluate"):
        values["maxTrialNumber"] = 2
        settings["evaluate"] = {**settings["evaluate"], "epochs": 2, "seeds": [0]}
    else:
        settings["evaluate"] = None
    settings = {name: value for name, value in settings.items() if value is not None}
    values["tuner"]["classArgs"] = settings
    path.write_text(yaml.safe_dump(values))
    return path


def make_ended(home: Path) -> None:
    shell = Shell(home)
    config = searches(home, 2, evaluate=True)
    done = shell("nni-darts", "run", str(config), "--port", free_port())
    assert done.returncode == 0, done.stdout + done.stderr


def make_stopped(home: Path) -> None:
    shell, port = Shell(home), free_port()
    config = searches(home, EPOCHS)
    created = shell("nnictl", "create", "--config", str(config), "--port", port)
    assert created.returncode == 0, created.stdout + created.stderr
    try:
        until(lambda: any(len(t.reports) >= AFTER for t in shell.experiment.trials()))
        assert any(t.alive for t in shell.experiment.trials())
    finally:
        shell("nnictl", "stop", "--all")


def pack(home: Path, archive: Path) -> None:
    """Keep NNI's folder, and under which name the home folder stands in it."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if Path(member.name).name in UNNEEDED else member

    (home / "nni-experiments" / "home.json").write_text(json.dumps(str(home)))
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(home / "nni-experiments", "nni-experiments", filter=wanted)


if __name__ == "__main__":
    for name, make in (("ended", make_ended), ("stopped", make_stopped)):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            pack(Path(folder), HERE / f"{name}.tar.xz")
