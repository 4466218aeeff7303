"""Base of the modules that train the network of an architecture from scratch."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from nni_darts.training.checkpoint import KEY
from nni_darts.training.finite_losses import FiniteWatch


class NetworkTraining(pl.LightningModule):
    """Training module that stops at a bad loss, and whose checkpoints describe their network.

    Args:
        network: network to train.
        settings: settings of the training.
        described: description of the network for its checkpoints, see
            `nni_darts.training.checkpoint.describe`.
    """

    def __init__(self, network: nn.Module, settings: Any, described: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.described = described
        self.finite = FiniteWatch()

    def record_loss(self, loss: Tensor, batch_idx: int) -> None:
        """Record the loss of a training step; a bad one raises DivergedError, perhaps later."""
        self.finite.record("training loss", loss, self.current_epoch, batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.is_last_batch:
            self.finite.raise_if_bad()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.finite.raise_if_bad()
        checkpoint[KEY] = self.described
