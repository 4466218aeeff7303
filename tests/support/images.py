"""A data module of a user's own: a few images of two classes that a network can tell apart."""

from __future__ import annotations

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from nni_darts.tasks.images.training_data import TrainingData


class Images(LightningDataModule):
    """Noise, brighter for class 1; `tests` says so to a run: `images.Images`."""

    num_classes = 2
    in_channels = 3
    image_size = 32

    def __init__(self, batch_size: int = 16, count: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.count = count

    def _loader(self, seed: int, shuffle: bool = False) -> DataLoader[tuple[Tensor, ...]]:
        random = torch.Generator().manual_seed(seed)
        labels = torch.arange(self.count) % 2
        images = torch.randn((self.count, 3, 32, 32), generator=random) * 0.5
        images += labels.view(-1, 1, 1, 1)
        return DataLoader(TensorDataset(images, labels), self.batch_size, shuffle=shuffle)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(0, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(1)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(2)


class Digits(TrainingData):
    """A user's class that derives from ours."""

    def __init__(self, batch_size: int, val_share: float, cutout: int, run_seed: int) -> None:
        super().__init__(
            "digits",
            batch_size=batch_size,
            val_share=val_share,
            cutout=cutout,
            run_seed=run_seed,
        )


class NoTest(Images):
    """The same without test data."""

    test_dataloader = LightningDataModule.test_dataloader  # type: ignore[assignment]


class NoValidation(Images):
    """The same without validation data."""

    val_dataloader = LightningDataModule.val_dataloader  # type: ignore[assignment]


class NoChannels(LightningDataModule):
    """It lacks what the network needs to know."""

    num_classes = 2
