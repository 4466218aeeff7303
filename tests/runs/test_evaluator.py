from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from toy_parts import SearchModule, ToySpace, Vectors
from toy_task import CLASSES, FEATURES, ToySearch

from nni_darts.runs.evaluator import search_evaluator
from nni_darts.training.run_folder import LAST, PREVIOUS


class Seen(pl.Callback):
    """The epochs, with the checkpoints that there were when they ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epochs: list[tuple[int, list[str]]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        files = sorted(path.name for path in self.folder.iterdir())
        self.epochs.append((trainer.current_epoch, files))


def searched(folder: Path, epochs: int, fit: dict[str, Any] | None = None) -> Seen:
    settings, seen = ToySearch(epochs=epochs), Seen(folder)
    evaluator = search_evaluator(
        SearchModule(settings),
        settings,
        Vectors("vectors", settings.batch_size),
        folder,
        torch.device("cpu"),
        [seen],
        progress_bar=False,
        fit=fit,
    )
    evaluator.evaluate(ToySpace(FEATURES, CLASSES).freeze({"first": "linear", "second": "linear"}))
    return seen


def test_a_checkpoint_is_written_after_each_epoch_and_what_is_done_at_its_end(
    tmp_path: Path,
) -> None:
    assert searched(tmp_path, 3).epochs == [(0, []), (1, [LAST]), (2, [LAST, PREVIOUS])]
    done = [torch.load(tmp_path / n, weights_only=True)["epoch"] for n in (PREVIOUS, LAST)]
    assert done == [1, 2]


def test_it_goes_on_as_it_is_told(tmp_path: Path) -> None:
    searched(tmp_path, 2)
    going_on = {"ckpt_path": str(tmp_path / LAST), "weights_only": True}
    assert [epoch for epoch, _ in searched(tmp_path, 4, going_on).epochs] == [2, 3]
