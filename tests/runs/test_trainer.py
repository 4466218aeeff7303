from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from toy_parts import ToySpace, TrainingModule, TrainingVectors
from toy_task import CLASSES, FEATURES, ToyTraining

from nni_darts.runs.trainer import trainer
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.language.settings import TextTraining
from nni_darts.tasks.settings import Training
from nni_darts.training.run_folder import BEST, LAST


def test_a_folder_that_was_moved_still_knows_its_best_epoch(tmp_path: Path) -> None:
    def best(folder: str) -> Any:
        settings = ImageTraining(epochs=3)
        made = trainer(settings, tmp_path / folder, [torch.device("cpu")], True, [], False)
        (found,) = (c for c in made.checkpoint_callbacks if c.monitor)
        return found

    def known(folder: str) -> dict[str, Any]:
        path = str(tmp_path / folder / BEST)
        score = torch.tensor(0.5)
        return {
            "dirpath": str(tmp_path / folder),
            "monitor": "val_acc",
            "best_model_score": score,
            "best_model_path": path,
            "current_score": None,
            "best_k_models": {path: score},
            "kth_best_model_path": path,
            "kth_value": score,
            "last_model_path": "",
        }

    there = best("there")
    there.load_state_dict(known("here"))
    assert there.state_dict() == known("there")


class Seen(pl.Callback):
    """The checkpoints that there were at the end of each epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[list[str]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.files.append(sorted(path.name for path in self.folder.iterdir()))


def fitted(folder: Path, validates: bool) -> Seen:
    settings, seen = ToyTraining(epochs=2), Seen(folder)
    network = ToySpace(FEATURES, CLASSES).freeze({"first": "linear", "second": "linear"})
    made = trainer(settings, folder, [torch.device("cpu")], validates, [seen], False)
    data = TrainingVectors("vectors", settings.batch_size, 0)
    made.fit(TrainingModule(network, settings, {"task": "toy"}), datamodule=data)
    return seen


def test_the_last_checkpoint_comes_after_what_is_done_at_the_end_of_an_epoch(
    tmp_path: Path,
) -> None:
    assert fitted(tmp_path, validates=False).files == [[], [LAST]]
    assert not (tmp_path / BEST).exists()


def test_the_best_weights_are_those_that_were_validated(tmp_path: Path) -> None:
    # They are written at the end of the validation, which is before that of the epoch.
    assert fitted(tmp_path, validates=True).files[0] == [BEST]
    best, last = (torch.load(tmp_path / name, weights_only=True) for name in (BEST, LAST))
    assert "optimizer_states" not in best
    assert "optimizer_states" in last


@pytest.mark.parametrize(
    ("settings", "monitor", "mode"),
    [(ImageTraining(), "val_acc", "max"), (TextTraining(), "val_ppl", "min")],
)
def test_the_best_is_by_the_metric_of_the_task(
    settings: Training, monitor: str, mode: str, tmp_path: Path
) -> None:
    made = trainer(settings, tmp_path, [torch.device("cpu")], True, [], False)
    (best,) = (c for c in made.checkpoint_callbacks if c.monitor)  # type: ignore[attr-defined]
    assert (best.monitor, best.mode) == (monitor, mode)  # type: ignore[attr-defined]


def test_what_the_settings_say(tmp_path: Path) -> None:
    for processes in (1, 2):
        settings = ImageTraining(epochs=7, gradient_clip=0.5, devices=processes)
        made = trainer(settings, tmp_path, [torch.device("cpu")], True, [], False)
        assert made.world_size == processes
        assert (made.max_epochs, made.gradient_clip_val) == (7, 0.5)
