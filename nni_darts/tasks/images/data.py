"""The data of a search: the training images of a data set in two halves.

The search sees the training images alone: nothing that is learnt or chosen can depend on the test
images (paper, section 3.1.1).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from nni_darts._common import limits
from nni_darts._common.checks import truth, whole
from nni_darts.tasks.images.augmentation import Items, ShiftAndFlip
from nni_darts.tasks.images.batches import Batch, Images, as_it_is
from nni_darts.tasks.images.data_sets import data_set_and_source
from nni_darts.tasks.images.device_batches import DeviceBatches
from nni_darts.tasks.images.sources import stratified_split

__all__ = ["BilevelData", "Loader", "TrainingImages"]

Loader = DataLoader[Batch] | DeviceBatches


class TrainingImages(LightningDataModule):
    """The training images of a data set in two parts; a subclass says which, in `setup`.

    Args: see `BilevelData`.
    """

    def __init__(
        self,
        name: str,
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int = 64,
        seed: int = 0,
        num_workers: int = 0,
        image_size: int | None = None,
        on_device: bool = False,
    ) -> None:
        super().__init__()
        self._data_set, self._source = data_set_and_source(name, root)
        self.name = name
        self.batch_size = whole("batch_size", batch_size, 1, limit=limits.BATCH_SIZE)
        self.seed = whole("seed", seed, 0, limits.SEED)
        self.num_workers = whole("num_workers", num_workers, 0, limit=limits.WORKERS)
        size = self._data_set.image_size if image_size is None else image_size
        self.image_size = whole("image_size", size, 4, limit=limits.IMAGE_SIZE)
        self.on_device = truth("on_device", on_device)
        if on_device and num_workers and isinstance(self._data_set.transform, ShiftAndFlip):
            raise ValueError(
                f"on_device keeps the images of {name} on the device that is trained on, where "
                f"num_workers must be 0, got {num_workers}"
            )
        self._parts: list[tuple[Items, Tensor]] = []

    @property
    def num_classes(self) -> int:
        """Number of classes (directories of an image_folder); raises as `prepare_data` does."""
        return self._source.num_classes

    @property
    def in_channels(self) -> int:
        return self._data_set.in_channels

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean per channel, of values in [0, 1]: a network sees (value - mean) / std."""
        return self._data_set.transform.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel, of values in [0, 1]."""
        return self._data_set.transform.std

    def prepare_data(self) -> None:
        """Download what is missing, and see that all can be read.

        Raises:
            ValueError: the directory is not as it should be, or an image cannot be read.
            MissingDataError: the data is not there and could not be downloaded.
        """
        if not self._parts:
            self._source.prepare()

    def _part(self, part: int) -> tuple[Items, Tensor]:
        if not self._parts:
            raise RuntimeError("the data is not loaded yet: call prepare_data() and setup() first")
        self._parts[part] = self._placed(*self._parts[part])
        return self._parts[part]

    def _placed(self, items: Items, labels: Tensor) -> tuple[Items, Tensor]:
        """Move images in memory to the place where their batches are to be made."""
        if not (self.on_device and isinstance(items, Tensor)):
            return items, labels
        return items.to(self._device()), labels.to(self._device())

    def _device(self) -> torch.device:
        """The device that is trained on; the CPU while there is no trainer."""
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    @property
    def _delivers(self) -> bool:
        """True if batches come from the loaders on a GPU."""
        return self.on_device and self._device().type == "cuda"

    def _delivered(self, loader: DataLoader[Batch]) -> Loader:
        return DeviceBatches(loader, self._device()) if self._delivers else loader

    def _transform(self, *, augmented: bool) -> Callable[[Items], Tensor]:
        return partial(self._data_set.transform, image_size=self.image_size, augmented=augmented)

    def _options(self, items: Items) -> dict[str, Any]:
        """Options of every loader."""
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "collate_fn": as_it_is,
            # What lies on the device already cannot be pinned.
            "pin_memory": self._delivers and not isinstance(items, Tensor),
        }


class BilevelData(TrainingImages):
    """The data of a search: the training images of a data set, one half for w and one for alpha.

    The halves are disjoint, have every class in equal parts and depend on `seed` alone. Batches and
    augmentation draw from torch's global random state, so a run that is resumed with that state
    repeats them; workers start anew each epoch, seeded from it.

    Args:
        name: a key of `DATA_SETS`: "digits", "cifar10", "cifar100", "fashion_mnist" or
            "image_folder".
        root: the directory to download into (default: `default_root()`); for image_folder the
            directory with one per class, which is never written to; for digits there is none.
        batch_size: batch size for w, and as many again for alpha; the paper's is 64.
        seed: seed of the split, from 0 to 2**32 - 1.
        num_workers: processes for each loader. Only image_folder gains by them: the others are held
            in memory and augmented a batch at a time.
        image_size: side of the square images in pixels, at least 4 because the search networks
            halve it twice; default: the data set's own, and 32 for image_folder.
        on_device: batches come on the GPU that is trained on, made while it works on the step
            before: images in memory are kept and augmented there (num_workers must be 0), those of
            image_folder are copied from pinned memory. The draws are those of the CPU.

    Raises:
        ValueError: an argument is out of its range, or not for this data set.
    """

    def setup(self, stage: str | None = None) -> None:
        """Load and split the training images; a second call does nothing.

        Raises:
            ValueError: a half has not one full batch.
        """
        if self._parts:
            return
        items, labels = self._source.load()
        parts = stratified_split(labels.numpy(), 0.5, self.seed)
        least = min(map(len, parts))
        if self.batch_size > least:
            raise ValueError(
                f"batch_size must be at most {least}, the smaller half of the {len(labels)} "
                f"training images of {self.name}, got {self.batch_size}"
            )
        self._parts = [(items[part], labels[part]) for part in parts]

    def train_dataloader(self) -> Loader:
        """The half for w: augmented, shuffled, full batches only."""
        return self._loader(0, augmented=True)

    def alpha_dataloader(self) -> Loader:
        """The half for alpha, for the architect: augmented, shuffled, full batches only."""
        return self._loader(1, augmented=True)

    def val_dataloader(self) -> Loader:
        """The half for alpha, to measure on: every image once, as it is, in fixed order."""
        return self._loader(1, augmented=False)

    def _loader(self, half: int, *, augmented: bool) -> Loader:
        items, labels = self._part(half)
        loader = DataLoader(
            Images(items, labels, self._transform(augmented=augmented)),
            shuffle=augmented,
            drop_last=augmented,
            **self._options(items),
        )
        return self._delivered(loader)
