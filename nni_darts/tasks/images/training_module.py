"""Training of a network of chosen cells from scratch (paper, A.2 and A.4)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LRScheduler
from torchmetrics.classification import MulticlassAccuracy

from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.network_training import NetworkTraining
from search_spaces.darts_network import DartsNetwork


class TrainingRecipe(NetworkTraining):
    """Training module: SGD with momentum, an auxiliary loss, drop path that grows linearly.

    Its network has an auxiliary head if that loss has a weight. Args: see `NetworkTraining`.
    """

    network: DartsNetwork
    settings: ImageTraining

    def __init__(
        self, network: DartsNetwork, settings: ImageTraining, described: dict[str, Any]
    ) -> None:
        super().__init__(network, settings, described)
        self._learning_rate = settings.learning_rate
        self.loss = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        # micro: the share of images that are right, as papers report it. To validate the labels
        # may be to wait for the device, in every batch.
        classes = network.arguments["num_classes"]
        self.train_accuracy = MulticlassAccuracy(classes, average="micro", validate_args=False)
        self.val_accuracy = MulticlassAccuracy(classes, average="micro", validate_args=False)

    def on_train_epoch_start(self) -> None:
        # The reference's schedule: 0 in the first epoch, one step short of it in the last.
        done = self.current_epoch / self.settings.epochs
        self.network.drop_path = self.settings.drop_path * done

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        output = self.network(x)
        if isinstance(output, tuple):
            logits, auxiliary_logits = output
            loss = self.loss(logits, y)
            loss = loss + self.settings.auxiliary_weight * self.loss(auxiliary_logits, y)
        else:
            logits = output
            loss = self.loss(logits, y)
        self.record_loss(loss, batch_idx)
        self.train_accuracy.update(logits, y)  # computed once an epoch
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        self.log("train_acc", self.train_accuracy, on_step=False, on_epoch=True)
        return loss  # type: ignore[no-any-return]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self.network(x)
        self.val_accuracy.update(logits, y)
        self.log("val_loss", nn.functional.cross_entropy(logits, y), sync_dist=True)
        self.log("val_acc", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> tuple[list[SGD], list[LRScheduler]]:
        s = self.settings
        sgd = SGD(self.parameters(), s.learning_rate, s.momentum, weight_decay=s.weight_decay)
        if s.schedule == "cosine":
            return [sgd], [CosineAnnealingLR(sgd, s.epochs, s.learning_rate_min or 0.0)]
        return [sgd], [ExponentialLR(sgd, s.learning_rate_decay or 0.97)]

    def figures(self) -> dict[str, float]:
        """Figures that an epoch is reported with, besides its metrics."""
        return {"learning_rate": self._learning_rate, "drop_path": self.network.drop_path}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # The epoch's, before the scheduler changes it.
        self._learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"]
