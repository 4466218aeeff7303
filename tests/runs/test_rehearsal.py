"""What `check` finds by a tiny step, in a package that lies beside the experiment file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import ROOT
from nni_darts.cli.main import main
from nni_darts.runs import rehearsal
from nni_darts.tasks.images import examination

PACKAGE = """
import nni
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, MutableDropout
from pytorch_lightning import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Space(ModelSpace):
    def __init__(self, channels=1, classes=10, dropout=False, slow=0):
        super().__init__()
        self.slow = slow
        make = lambda k: nn.Conv2d(channels, 4, k, padding=k // 2)
        self.body = LayerChoice([make(3), make(1)], label="body")
        if dropout:
            self.unused = MutableDropout(nni.choice("rate", [0.1, 0.2]))
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        for _ in range(self.slow):
            x = x + 0
        return self.head(torch.tanh(self.body(x)).mean((2, 3)))


class Data(LightningDataModule):
    num_classes, in_channels = 10, 1

    def __init__(self, batch_size=4, count=8, labels=10, there=True):
        super().__init__()
        self.batch_size, self.count, self.labels, self.there = batch_size, count, labels, there

    def prepare_data(self):
        raise AssertionError("nothing is downloaded by a check")

    def setup(self, stage):
        if not self.there:
            raise FileNotFoundError("call prepare_data() first")

    def train_dataloader(self):
        x, y = torch.randn(self.count, 1, 8, 8), torch.arange(self.count) + self.labels - self.count
        return DataLoader(TensorDataset(x, y), self.batch_size, drop_last=True)

    val_dataloader = train_dataloader
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[str]:
    """The name of a package that lies beside the experiment file and nowhere else."""
    name = f"package_of_{tmp_path.name}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(PACKAGE)
    yield name
    sys.modules.pop(name, None)


def file(folder: Path, space: dict[str, Any], data: dict[str, Any], **search: Any) -> str:
    values = {
        "trialCommand": "python -m nni_darts.trial",
        "trialCodeDirectory": ".",
        "trialConcurrency": 1,
        "maxTrialNumber": 1,
        "searchSpace": {},
        "trainingService": {"platform": "local"},
        "tuner": {
            "codeDirectory": ".",
            "className": "nni_darts.tuner.DartsProtocol",
            "classArgs": {
                "space": space,
                "data": data,
                "search": {"seeds": [0], "epochs": 1, "batch_size": 4, **search},
            },
        },
    }
    path = folder / "experiment.yml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


DIGITS = {"name": "digits"}


@pytest.mark.parametrize(
    ("space", "data", "search", "expected"),
    [
        ({}, DIGITS, {}, None),
        ({}, {"name": "Data"}, {}, None),
        ({"channels": 3}, DIGITS, {}, "space: a step of the search fails, on a batch of 2 x 1 x 8"),
        ({"classes": 5}, DIGITS, {}, "Target 9 is out of bounds"),
        ({"classes": 12}, DIGITS, {}, "must give (2, 10) numbers, one for each image and class"),
        ({"dropout": True}, DIGITS, {}, "space: a step of the search fails, on a batch of 2 x 1"),
        ({}, DIGITS, {"batch_size": 900}, "data: batch_size must be at most"),
        (
            {},
            {"name": "Data", "count": 3},
            {},
            "data: Data gives no batch to train on; lower batch",
        ),
        ({}, {"name": "Data", "labels": 12}, {"batch_size": 8}, "data: labels must be from 0 to 9"),
        (
            {"channels": 3},
            {"name": "Data"},
            {},
            "space: a step of the search fails, on a batch of 2",
        ),
    ],
)
def test_what_dies_in_the_first_second(
    space: dict[str, Any],
    data: dict[str, Any],
    search: dict[str, Any],
    expected: str | None,
    package: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    named = {**data, "name": f"{package}.Data" if data["name"] == "Data" else data["name"]}
    path = file(tmp_path, {"name": f"{package}.Space", **space}, named, **search)
    before = list(sys.path)
    if expected is None:
        assert main(["check", path]) == 0
        assert capfd.readouterr().err == ""
    else:
        for command in ("check", "run"):
            assert main([command, path]) == 2
            (line,) = capfd.readouterr().err.splitlines()
            assert line.startswith(f"error: {path}: tuner.classArgs.")
            assert expected in line
        if "space" in expected or "Target" in expected:
            assert main(["check", "--quick", path]) == 0
    assert sys.path == before


def test_data_that_is_not_there_yet(
    package: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = {"name": f"{package}.Data", "there": False}
    path = file(tmp_path, {"name": f"{package}.Space", "channels": 3}, data)
    assert main(["check", path]) == 0
    assert "no step of the search was tried: the data is not there yet" in capfd.readouterr().err


def test_it_is_bounded(
    package: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = file(tmp_path, {"name": f"{package}.Space", "slow": 10**9}, DIGITS)
    monkeypatch.setattr(rehearsal, "SECONDS", 1.0)
    assert main(["check", path]) == 0
    assert "it takes more than 1 seconds on this machine" in capfd.readouterr().err
    monkeypatch.setattr(rehearsal, "PARAMETERS", 10)
    assert main(["check", path]) == 0
    assert "parameters, more than 10" in capfd.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(examination, "PIXELS", 10)
    assert main(["check", path]) == 0
    assert "more than 10 pixels" in capfd.readouterr().err


def test_the_shipped_searches_are_stepped(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("darts.yml", "darts_cifar10.yml", "darts_rnn.yml", "gdas_cifar10.yml"):
        assert main(["check", str(ROOT / "experiments" / name)]) == 0
        assert "no step" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["beta_darts_cifar10.yml", "sdarts_rs_cifar10.yml"])
def test_the_shipped_searches_with_terms_and_noise_are_stepped(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(ROOT / "experiments" / name)]) == 0
    said = capsys.readouterr()
    assert "all is right; it runs 9 trials" in said.out
    assert "no step" not in said.err


def test_the_shipped_search_of_drnas_is_checked() -> None:
    # On the evaluation's network, as published: a step takes too long for the tests.
    assert main(["check", "--quick", str(ROOT / "experiments/drnas_cifar10.yml")]) == 0


@pytest.mark.parametrize("command", ["check", "run"])
def test_data_of_a_training_that_gives_no_batch(
    command: str, package: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = file(tmp_path, {}, {"name": f"{package}.Data", "count": 3})
    values = yaml.safe_load(Path(path).read_text())
    settings = values["tuner"]["classArgs"]
    del settings["space"], settings["search"]
    settings |= {"genotypes": ["DARTS_V2"], "select": {"batch_size": 4, "cutout": 0}}
    Path(path).write_text(yaml.safe_dump(values))
    assert main([command, path]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "tuner.classArgs.data: Data gives no batch to train on; lower batch_size, 4" in line
