"""Training of the supernet's weights on images."""

from __future__ import annotations

from typing import Any

from nni.nas.evaluator.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR
from torchmetrics.classification import MulticlassAccuracy

from nni_darts.tasks.images.settings import ImageSearch


class SearchRecipe(LightningModule):
    """Search module: cross entropy, SGD with momentum, cosine learning rate per epoch (A.1.1)."""

    def __init__(self, settings: ImageSearch, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        # micro: the share of images that are right, as papers report it. To validate the labels
        # may be to wait for the device, in every batch.
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        logits = self(x)
        loss = nn.functional.cross_entropy(logits, y)
        self.train_accuracy.update(logits, y)  # computed once an epoch
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        self.log("train_acc", self.train_accuracy, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.val_accuracy.update(logits, y)
        self.log("val_loss", nn.functional.cross_entropy(logits, y))
        self.log("val_acc", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> Any:
        s = self.settings
        sgd = SGD(self.parameters(), s.learning_rate, s.momentum, weight_decay=s.weight_decay)
        return [sgd], [CosineAnnealingLR(sgd, s.epochs, s.learning_rate_min)]
