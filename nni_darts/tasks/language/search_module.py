"""Training of the supernet of a recurrent cell (paper, A.1.2)."""

from __future__ import annotations

from typing import Any

from nni.nas.evaluator.pytorch import LightningModule
from torch import Tensor
from torchmetrics import MeanMetric

from nni_darts.tasks.language import losses
from nni_darts.tasks.language.losses import Perplexity
from nni_darts.tasks.language.settings import TextSearch
from nni_darts.tasks.language.streams import Words


class TextSearchRecipe(LightningModule):
    """Search module: cross entropy with penalties, SGD, learning rate by the batch's length.

    L_val, on which alpha is learnt, has the same penalties and dropouts as L_train. The reference's
    architect leaves the penalties out of both, and so unrolls another step than the one taken.
    """

    def __init__(self, settings: TextSearch) -> None:
        super().__init__()
        self.settings = settings
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_ppl, self.val_ppl = Perplexity(), Perplexity()

    def on_train_batch_start(self, batch: dict[str, Words], batch_idx: int) -> None:
        # Before the architect, too: it takes the learning rate of the coming step.
        losses.scale(self._sgd, self.settings, batch["train"])

    def training_step(self, batch: Words, batch_idx: int) -> Tensor:
        output = losses.read(self.model, batch)
        loss = losses.cross_entropy(output, batch)
        for metric in (self.train_loss, self.train_ppl):
            metric.update(loss.detach(), batch.targets.numel())
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("train_ppl", self.train_ppl, on_step=False, on_epoch=True)
        return loss + losses.penalties(output, self.settings)

    def validation_step(self, batch: Words, batch_idx: int) -> None:
        loss = losses.cross_entropy(losses.read(self.model, batch), batch)
        for metric in (self.val_loss, self.val_ppl):
            metric.update(loss, batch.targets.numel())
        self.log("val_loss", self.val_loss)
        self.log("val_ppl", self.val_ppl, prog_bar=True)

    def configure_optimizers(self) -> Any:
        self._sgd = losses.optimizer(self, self.settings)
        return self._sgd
