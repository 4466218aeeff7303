"""What the training modules of all tasks share, in a module of this file's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import spaces
import torch
from torch import Tensor, nn
from torch.optim import SGD

from nni_darts.tasks.network_training import NetworkTraining
from nni_darts.training.checkpoint import KEY
from nni_darts.training.finite_losses import DivergedError

DESCRIBED = {"made": "here"}


class Mean(NetworkTraining):
    """Training that moves a bias to the mean of what comes, and diverges in one batch."""

    bad = -1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, _ = batch
        loss = (self.network(x.mean((2, 3))) - x.mean()).square().mean()
        loss = loss / 0 if batch_idx == self.bad else loss
        self.record_loss(loss, batch_idx)
        return loss

    def configure_optimizers(self) -> SGD:
        return SGD(self.parameters(), self.settings["learning_rate"])


def trained(module: Mean, folder: Path) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        enable_checkpointing=False,
    )
    trainer.fit(module, spaces.loader())
    return trainer


def module() -> Mean:
    return Mean(nn.Linear(3, 1), {"learning_rate": 0.1}, DESCRIBED)


def test_a_checkpoint_describes_its_network(tmp_path: Path) -> None:
    trainer = trained(module(), tmp_path)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    assert torch.load(tmp_path / "x.ckpt", weights_only=True)[KEY] == DESCRIBED


def test_a_bad_loss_ends_the_training(tmp_path: Path) -> None:
    diverging = module()
    diverging.bad = 1
    with pytest.raises(DivergedError, match="training loss"):
        trained(diverging, tmp_path)
