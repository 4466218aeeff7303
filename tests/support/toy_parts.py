"""What of the task `toy_task` needs torch and NNI."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from nni.nas.evaluator.pytorch import LightningModule
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset
from toy_task import CLASSES, FEATURES, ToySearch, ToyTraining

from nni_darts.training.checkpoint import KEY


class Vectors(pl.LightningDataModule):
    num_features = FEATURES
    num_classes = CLASSES

    def __init__(self, name: str, batch_size: int, size: int = 96) -> None:
        super().__init__()
        self.name = name
        self.batch_size = batch_size
        self.size = size

    def _loader(self, part: int, shuffle: bool = False) -> DataLoader[Any]:
        draws = torch.Generator().manual_seed(part)
        labels = torch.arange(self.size) % CLASSES
        noise = torch.randn(self.size, FEATURES, generator=draws)
        vectors = 2 * torch.eye(FEATURES)[labels] + 0.5 * noise
        return DataLoader(TensorDataset(vectors, labels), self.batch_size, shuffle=shuffle)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(0, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(1)


class TrainingVectors(Vectors):
    def __init__(self, name: str, batch_size: int, run_seed: int, size: int = 96) -> None:
        super().__init__(name, batch_size, size)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(2)


def _layer(features: int, label: str) -> LayerChoice:
    linear = nn.Linear(features, features)
    return LayerChoice(
        {"identity": nn.Identity(), "linear": linear, "gone": nn.Dropout(1.0)}, label=label
    )


class ToySpace(ModelSpace):
    def __init__(self, num_features: int, num_classes: int, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Linear(num_features, width)
        self.first = _layer(width, "first")
        self.second = _layer(width, "second")
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(torch.tanh(self.stem(x)))))


class _Steps:
    """Cross entropy and accuracy, in the search and in a training."""

    def training_step(self: Any, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._logged("train", batch)

    def validation_step(self: Any, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._logged("val", batch)

    def configure_optimizers(self: Any) -> SGD:
        return SGD(self.parameters(), self.settings.learning_rate, momentum=0.9)

    def _logged(self: Any, part: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        logits = self(x)
        loss = nn.functional.cross_entropy(logits, y)
        accuracy = (logits.argmax(1) == y).float().mean()
        for name, value in (("loss", loss), ("acc", accuracy)):
            self.log(f"{part}_{name}", value, on_step=False, on_epoch=True)
        return loss


class SearchModule(_Steps, LightningModule):
    def __init__(self, settings: ToySearch) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class TrainingModule(_Steps, pl.LightningModule):
    def __init__(
        self, network: nn.Module, settings: ToyTraining, described: dict[str, Any]
    ) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.described = described

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def figures(self) -> dict[str, float]:
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self.described


def test(network: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
    with torch.inference_mode():
        x, y = (torch.cat(part) for part in zip(*data.test_dataloader(), strict=True))
        logits = network(x.to(device))
        loss = float(nn.functional.cross_entropy(logits, y.to(device)))
        right = (logits.argmax(1) == y.to(device)).float()
    return {"test_acc": float(right.mean()), "test_loss": loss}
