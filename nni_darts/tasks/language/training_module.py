"""Training of a language model of a chosen cell from scratch (paper, A.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD
from torchmetrics import MeanMetric

from nni_darts.tasks.language import losses
from nni_darts.tasks.language.losses import Perplexity
from nni_darts.tasks.language.settings import TextTraining
from nni_darts.tasks.language.streams import Words
from nni_darts.tasks.network_training import NetworkTraining
from search_spaces.darts_rnn_network import DartsRNNNetwork

STATE = "nni_darts_averaging"


def stalled(before: Sequence[float], loss: float, epochs: int) -> bool:
    """Non-monotone trigger: whether a loss is above the least one of more than `epochs` ago.

    Args:
        before: the validation losses of the epochs before, in order.
        loss: loss of this epoch.
        epochs: number of last epochs that are left out.
    """
    return len(before) > epochs and loss > min(before[: len(before) - epochs])


class Averages:
    """Running mean of weights: of all their values so far, each counted once."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        """Mean values, shaped as the weights are; none before the first update."""
        self.count = 0

    @torch.no_grad()
    def update(self, weights: Sequence[Tensor]) -> None:
        self.count += 1
        if not self.values:
            self.values = [weight.detach().clone() for weight in weights]
        for value, weight in zip(self.values, weights, strict=True):
            value += (weight - value) / self.count

    @torch.no_grad()
    def exchange(self, weights: Sequence[Tensor]) -> None:
        """Let the weights and their means change places; a second call puts both back."""
        for value, weight in zip(self.values, weights, strict=True):
            kept = weight.clone()
            weight.copy_(value)
            value.copy_(kept)


class TextTrainingRecipe(NetworkTraining):
    """Training module: SGD, and from the moment when it no longer helps, averaged SGD.

    Averaged SGD takes the same steps; what is measured, and kept as the best, is the mean of the
    weights since the switch (Polyak and Juditsky, 1992). The reference measures so, too; it has
    it from torch's ASGD, whose step lags the scaled learning rate by a batch, and whose mean leaves
    out the first step. Args: see `NetworkTraining`.
    """

    network: DartsRNNNetwork
    settings: TextTraining

    def __init__(
        self, network: DartsRNNNetwork, settings: TextTraining, described: dict[str, Any]
    ) -> None:
        super().__init__(network, settings, described)
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_ppl, self.val_ppl = Perplexity(), Perplexity()
        self.losses: list[float] = []
        """Validation losses of the epochs before the switch."""
        self.averages: Averages | None = None

    def figures(self) -> dict[str, float]:
        """Figures that an epoch is reported with, besides its metrics."""
        return {
            "learning_rate": self.settings.learning_rate,
            # Whether what was measured is a mean.
            "averaged": float(self.averages is not None and self.averages.count > 0),
        }

    def on_train_start(self) -> None:
        if self.averages is not None:
            self.averages.values = [value.to(self.device) for value in self.averages.values]

    def on_train_batch_start(self, batch: Words, batch_idx: int) -> None:
        losses.scale(self._sgd, self.settings, batch)

    def training_step(self, batch: Words, batch_idx: int) -> Tensor:
        output = losses.read(self.network, batch)
        loss = losses.cross_entropy(output, batch)
        self.record_loss(loss, batch_idx)
        for metric in (self.train_loss, self.train_ppl):
            metric.update(loss.detach(), batch.targets.numel())
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("train_ppl", self.train_ppl, on_step=False, on_epoch=True)
        return loss + losses.penalties(output, self.settings)

    def on_train_batch_end(self, outputs: Any, batch: Words, batch_idx: int) -> None:
        if self.averages is not None:
            self.averages.update(self._weights())
        super().on_train_batch_end(outputs, batch, batch_idx)

    def on_validation_start(self) -> None:
        self._exchange()

    def validation_step(self, batch: Words, batch_idx: int) -> None:
        loss = losses.cross_entropy(losses.read(self.network, batch), batch)
        for metric in (self.val_loss, self.val_ppl):
            metric.update(loss, batch.targets.numel())
        self.log("val_loss", self.val_loss)
        self.log("val_ppl", self.val_ppl, prog_bar=True)

    def on_validation_end(self) -> None:
        # The best checkpoint has been written by now: it holds what was validated.
        self._exchange()
        if self.averages is None:
            loss = float(self.trainer.callback_metrics["val_loss"])
            epochs = self.settings.nonmonotone
            if epochs is not None and stalled(self.losses, loss, epochs):
                self.averages = Averages()
                print(f"averaged SGD from epoch {self.current_epoch + 2} on", flush=True)
            self.losses.append(loss)

    def configure_optimizers(self) -> SGD:
        self._sgd = losses.optimizer(self, self.settings)
        return self._sgd

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if "optimizer_states" in checkpoint:  # one to go on from
            averages = self.averages
            checkpoint[STATE] = {
                "losses": self.losses,
                "averages": averages and {"values": averages.values, "count": averages.count},
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint[STATE]
        self.losses = list(state["losses"])
        self.averages = None
        if state["averages"] is not None:
            self.averages = Averages()
            self.averages.values = list(state["averages"]["values"])
            self.averages.count = state["averages"]["count"]

    def _weights(self) -> list[Tensor]:
        return list(self.network.parameters())

    def _exchange(self) -> None:
        if self.averages is not None and self.averages.count:
            self.averages.exchange(self._weights())
