from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.random_cells import draw
from nni_darts.runs.train import Job, prepare, train
from nni_darts.runs.train import test as measure
from nni_darts.tasks import registry
from nni_darts.tasks.components import Component
from nni_darts.tasks.images.networks import count
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.images.training_data import TrainingData
from nni_darts.training.checkpoint import load
from nni_darts.training.finite_losses import DivergedError
from nni_darts.training.run_folder import BEST, LAST, PREVIOUS
from search_spaces.darts_network import DartsNetwork

GENOTYPE = draw(1, 0, num_nodes=2)[0]
DIGITS = Component(name="digits")
SMALL: dict[str, Any] = {
    "channels": 4,
    "num_cells": 3,
    "epochs": 3,
    "batch_size": 128,
    "learning_rate": 0.1,
    "auxiliary_weight": 0,
    "drop_path": 0.3,
    "cutout": 2,
    "val_share": 0.2,
}


def job(folder: Path, data: Component = DIGITS, seed: int = 0, **changes: Any) -> Job:
    settings = ImageTraining(**{**SMALL, **changes})
    return Job(GENOTYPE, settings, data, seed, folder, "retrain")


def quiet(report: Any) -> None:
    pass


def state(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return found


def require_equal(one: Path, other: Path) -> None:
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A training without any trouble."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(job(folder), quiet, tested=True)


def test_what_comes_out(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, result = whole
    history = pd.read_csv(folder / "history.csv")
    best = history.loc[history["default"].idxmax()]
    assert result["default"] == result["val_acc"] == best["default"]
    assert result["val_loss"] == best["val_loss"]
    assert result["best_epoch"] == best["epoch"]
    assert result["weights"] == str(folder / BEST)
    assert len(history) == 3
    assert {"train_loss", "train_acc", "learning_rate", "drop_path"} <= set(history)
    # It has learnt: ten classes.
    assert result["test_acc"] > 0.3


def test_the_weights_give_the_accuracies_that_are_reported(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = whole
    data = TrainingData("digits", val_share=0.2)
    data.setup("fit")
    data.setup("test")
    network = load(folder / BEST)
    found = {}
    for name, loader in (("val_acc", data.val_dataloader()), ("test_acc", data.test_dataloader())):
        right, total = 0, 0
        for x, y in loader:  # type: ignore[assignment]
            right += int((network(x).argmax(1) == y).sum())  # type: ignore[attr-defined]
            total += len(y)
        found[name] = right / total
    assert found["val_acc"] == pytest.approx(result["val_acc"], abs=1e-6)
    assert found["test_acc"] == pytest.approx(result["test_acc"], abs=1e-6)


def test_counts_are_of_the_network_without_its_auxiliary_head() -> None:
    with torch.device("meta"):
        bare, full = (DartsNetwork(GENOTYPE, 4, 3, auxiliary=head) for head in (False, True))
    sized = SimpleNamespace(image_size=32)
    assert count(bare, sized) == count(full, sized)
    assert count(bare, object()) == {"params": sum(p.numel() for p in bare.parameters())}


def test_without_validation_the_last_epoch_counts(tmp_path: Path) -> None:
    result = train(job(tmp_path, val_share=0, epochs=2), quiet, tested=True)
    assert result["weights"] == str(tmp_path / LAST)
    assert result["default"] == result["test_acc"]
    assert result["best_epoch"] == 1
    assert not (tmp_path / BEST).exists()
    assert not {"val_acc", "val_loss"} & result.keys()


class Stop(Exception):
    pass


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_training_stopped_between_epochs_goes_on_bit_for_bit(
    whole: tuple[Path, dict[str, Any]], epoch: int, tmp_path: Path
) -> None:
    def stop(report: dict[str, Any]) -> None:
        # Reported, but its checkpoint is not written yet: the epoch is done again.
        if report["epoch"] == epoch + 1:
            raise Stop

    with pytest.raises(Stop):
        train(job(tmp_path), stop)
    result = train(job(tmp_path), quiet, tested=True)
    for name, value in whole[1].items():
        if name not in ("seconds", "weights"):
            assert result[name] == value, name
    require_equal(tmp_path / BEST, whole[0] / BEST)
    require_equal(tmp_path / LAST, whole[0] / LAST)
    tables = [pd.read_csv(f / "history.csv").drop(columns="seconds") for f in (tmp_path, whole[0])]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_training_that_was_over_gives_its_result_again(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = whole
    before = (folder / LAST).read_bytes()
    again = train(job(folder), quiet, tested=True)
    assert {**again, "seconds": 0} == {**result, "seconds": 0}
    assert (folder / LAST).read_bytes() == before


def test_seeds_differ_and_a_seed_repeats(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    train(job(tmp_path / "same"), quiet)
    require_equal(tmp_path / "same" / LAST, whole[0] / LAST)
    train(job(tmp_path / "other", seed=1), quiet)
    name = next(name for name in state(whole[0] / LAST) if name.endswith("weight"))
    other = state(tmp_path / "other" / LAST)[name]
    assert not torch.equal(other, state(whole[0] / LAST)[name])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epochs": 4}, "epochs is 3 there and 4 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"data": Component(name="digits", seed=3)}, "data is "),
    ],
)
def test_a_folder_with_another_training_is_left_alone(
    whole: tuple[Path, dict[str, Any]], changes: dict[str, Any], expected: str
) -> None:
    before = contents(whole[0])
    with pytest.raises(SettingsError, match="is of another run") as caught:
        train(job(whole[0], **changes), quiet)
    (problem,) = caught.value.problems
    assert expected in problem
    assert contents(whole[0]) == before


def copied(whole: Path, folder: Path) -> Path:
    """A folder as a training has left it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (LAST, PREVIOUS, BEST, "history.csv"):
        shutil.copy(whole / name, folder / name)
    return folder


def flipped(content: bytes, path: Path) -> bytes:
    """With other bits in the middle of its largest part."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    # Behind the entry's own header, which is padded to 64 bytes.
    changed = bytearray(content)
    changed[largest.header_offset + 64 + largest.file_size // 2] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "best", "tensor"])
def test_a_damaged_checkpoint_is_put_aside_for_the_one_before(
    whole: tuple[Path, dict[str, Any]],
    damage: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = (whole[0] / LAST).read_bytes()
    torch.save(torch.ones(3), tmp_path / "tensor")
    bad = {
        "truncated": content[:-1000],
        "flipped": flipped(content, whole[0] / LAST),
        "empty": b"",
        "foreign": b"x" * 99,
        "best": (whole[0] / BEST).read_bytes(),
        "tensor": (tmp_path / "tensor").read_bytes(),
    }[damage]
    folder = copied(whole[0], tmp_path / "out")
    (folder / LAST).write_bytes(bad)
    result = train(job(folder), quiet, tested=True)
    said = capsys.readouterr().out.splitlines()
    reasons = {
        "best": "holds weights alone, from which no training can go on",
        "tensor": "is no checkpoint of a training",
    }
    why = reasons.get(damage, "is not a complete checkpoint")
    aside = f"it is put aside as {LAST}.damaged; the run goes on from {PREVIOUS}"
    assert said[0] == f"{folder / LAST} {why}: {aside}"
    assert len([line for line in said if line.startswith("epoch ")]) == 1
    assert (folder / f"{LAST}.damaged").read_bytes() == bad
    require_equal(folder / LAST, whole[0] / LAST)
    require_equal(folder / BEST, whole[0] / BEST)
    assert {**result, "seconds": 0, "weights": 0} == {**whole[1], "seconds": 0, "weights": 0}


@pytest.mark.parametrize("lost", [(LAST, PREVIOUS), (BEST,)])
def test_without_a_whole_checkpoint_it_starts_afresh(
    whole: tuple[Path, dict[str, Any]],
    lost: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copied(whole[0], tmp_path)
    for name in lost:
        (folder / name).write_bytes(b"")
    result = train(job(folder), quiet, tested=True)
    said = capsys.readouterr().out.splitlines()
    assert all(f"{folder / name} is not a complete checkpoint" in "".join(said) for name in lost)
    assert sum("starts afresh" in line for line in said) == len(lost)
    assert len([line for line in said if line.startswith("epoch ")]) == 3
    require_equal(folder / LAST, whole[0] / LAST)
    assert {**result, "seconds": 0, "weights": 0} == {**whole[1], "seconds": 0, "weights": 0}


def test_two_checkpoints_are_kept(whole: tuple[Path, dict[str, Any]]) -> None:
    epochs = [torch.load(whole[0] / n, weights_only=True)["epoch"] for n in (LAST, PREVIOUS)]
    assert epochs == [2, 1]


@pytest.mark.parametrize("name", [BEST, LAST])
def test_weights_of_another_network_are_not_taken_for_its_own(
    whole: tuple[Path, dict[str, Any]], name: str, tmp_path: Path
) -> None:
    train(job(tmp_path / "other", seed=1, epochs=1), quiet)
    folder = copied(whole[0], tmp_path / "out")
    shutil.copy(tmp_path / "other" / name, folder / name)
    before = contents(folder)
    with pytest.raises(SettingsError, match=f"{name} is of another run") as caught:
        train(job(folder), quiet, tested=True)
    (problem,) = caught.value.problems
    assert "epochs is 1 there and 3 here" in problem
    assert contents(folder) == before


def test_a_checkpoint_that_names_no_run(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    content = torch.load(whole[0] / LAST, weights_only=True)
    for what in ("nni_darts", "nni_darts_run"):
        del content[what]
    torch.save(content, tmp_path / LAST)
    with pytest.raises(SettingsError, match=r"last.ckpt does not say which run it is of"):
        train(job(tmp_path), quiet)


@pytest.mark.parametrize("damage", [None, "", "epoch,default\nx,1\n", "\0\0", "\udc80"])
def test_its_history_comes_back_with_the_checkpoint(
    whole: tuple[Path, dict[str, Any]], damage: str | None, tmp_path: Path
) -> None:
    folder = copied(whole[0], tmp_path)
    history = folder / "history.csv"
    history.unlink()
    if damage is not None:
        history.write_bytes(damage.encode("utf-8", "surrogateescape"))
    result = train(job(folder), quiet)
    assert history.read_bytes() == (whole[0] / "history.csv").read_bytes()
    assert result["best_epoch"] == whole[1]["best_epoch"]


def test_a_diverging_training_says_so(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="the training loss is"):
        train(job(tmp_path, learning_rate=1e30, gradient_clip=None), quiet)


IMAGES = Component(name="images.Images")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": Component(name="digit")}, "data: unknown data set 'digit'; did you mean"),
        ({"batch_size": 5000}, "batch_size must be at most 1149"),
        ({"val_share": 0.0001}, "val_share 0.0001 of the 1437 training images of digits leaves"),
        ({"cutout": 9}, "cutout must be a whole number from 0 to 8, got 9"),
        ({"auxiliary_weight": 0.4}, "do not fit the network"),
        ({"data": Component(name="images.Image")}, "did you mean 'Images'?"),
        ({"data": IMAGES}, "cutout: images.Images takes no such argument; set cutout: 0"),
        (
            {"data": Component(name="images.NoChannels"), "cutout": 0},
            "images.NoChannels must have an attribute in_channels",
        ),
        ({"stem": "imagenet"}, None),
    ],
)
def test_mistakes_are_found_before_training(
    changes: dict[str, Any], expected: str | None, tmp_path: Path
) -> None:
    wrong = job(tmp_path / "out", **changes)
    if expected is None:
        prepare(wrong)
        return
    with pytest.raises(SettingsError) as caught:
        train(wrong, quiet)
    (problem,) = caught.value.problems
    assert expected in problem
    assert "\n" not in problem
    assert not (tmp_path / "out").exists()


def test_a_data_module_of_the_users(tmp_path: Path) -> None:
    made = job(tmp_path, IMAGES, cutout=0, auxiliary_weight=0.4, batch_size=16)
    result = train(made, quiet, tested=True)
    assert {"val_acc", "test_acc", "params", "multiply_adds"} <= result.keys()


def test_a_class_that_derives_from_ours(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    made = job(tmp_path, Component(name="images.Digits"))
    prepare(made, load=False)
    result = train(made, quiet, tested=True)
    assert result["test_acc"] == whole[1]["test_acc"]


@pytest.mark.parametrize(
    ("name", "purpose", "expected"),
    [
        ("NoTest", "tested", "images.NoTest has no test_dataloader, evaluate needs one"),
        ("NoValidation", "compared", "images.NoValidation has no validation data to compare on"),
    ],
)
def test_what_a_purpose_needs_is_there_before_training(
    name: str, purpose: str, expected: str, tmp_path: Path
) -> None:
    made = job(tmp_path / "out", Component(name=f"images.{name}"), cutout=0, batch_size=16)
    with pytest.raises(SettingsError, match=expected):
        train(made, quiet, **{purpose: True})
    assert not (tmp_path / "out").exists()


def test_every_test_image_counts_once() -> None:
    class Right(torch.nn.Module):
        """Knows the labels by the order of the images."""

        def __init__(self, labels: torch.Tensor) -> None:
            super().__init__()
            self.labels, self.at = labels, 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            labels = self.labels[self.at : self.at + len(x)]
            self.at += len(x)
            return 100.0 * torch.nn.functional.one_hot(labels, 10).float()

    data = TrainingData("digits", batch_size=100)
    data.setup("test")
    labels = torch.cat([y for _, y in data.test_dataloader()])
    # A last batch that is not full, and a few answers that are wrong.
    assert len(labels) % 100
    answers = labels.clone()
    answers[-7:] = (answers[-7:] + 1) % 10
    found = measure(Right(answers), data, torch.device("cpu"), registry.IMAGES)
    assert found["test_acc"] == pytest.approx(1 - 7 / len(labels))
    assert found["test_loss"] == pytest.approx(100 * 7 / len(labels))


def test_a_network_is_tested_in_evaluation_mode() -> None:
    class Whims(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(len(x), 10)
            logits[:, 1] = 0.0 if self.training else 1.0
            return logits

    data = TrainingData("digits")
    data.setup("test")
    ones = sum(int((y == 1).sum()) for _, y in data.test_dataloader())
    total = sum(len(y) for _, y in data.test_dataloader())
    found = measure(Whims().train(), data, torch.device("cpu"), registry.IMAGES)
    assert found["test_acc"] == pytest.approx(ones / total)
    assert found["test_loss"] == pytest.approx(math.log(math.e + 9) - ones / total)


SCRIPT = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import test_train as t
from pathlib import Path
from types import SimpleNamespace
changes = json.loads(sys.argv[2])
result = t.train(t.job(Path(sys.argv[1]), **changes), t.quiet, tested=True)
print(json.dumps(result))
"""


def script(folder: Path, **changes: Any) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    path = folder.parent / "script.py"
    path.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(path), str(folder), json.dumps(changes)],
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parents[1]}", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_training_ends_as_one_never_killed(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    first = script(folder)
    limit = time.monotonic() + 300
    while not (folder / LAST).exists():
        assert time.monotonic() < limit
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    second = script(folder)
    output, _ = second.communicate(timeout=300)
    result = json.loads(output.splitlines()[-1])
    for name, value in whole[1].items():
        if name not in ("seconds", "weights"):
            assert result[name] == value, name
    require_equal(folder / LAST, whole[0] / LAST)


@pytest.mark.slow
def test_two_processes_train_together(tmp_path: Path) -> None:
    """Each has half of every epoch; validation and test count every image once."""
    folder = tmp_path / "both"
    both = script(folder, devices=2, batch_size=64)
    output, _ = both.communicate(timeout=600)
    assert both.returncode == 0
    result = json.loads(output.splitlines()[-1])
    history = pd.read_csv(folder / "history.csv")
    assert len(history) == 3
    data = TrainingData("digits", val_share=0.2)
    data.setup("fit")
    network = load(folder / BEST)

    def accuracy(batches: Any) -> float:
        right = [network(x).argmax(1) == y for x, y in batches]
        return float(torch.cat(right).double().mean())

    assert result["val_acc"] == pytest.approx(accuracy(data.val_dataloader()), abs=1e-6)
    data.setup("test")
    assert result["test_acc"] == pytest.approx(accuracy(data.test_dataloader()), abs=1e-6)
    assert result["test_acc"] > 0.3
