"""The data of a search, in two halves: one for w, one for alpha.

The search sees the training images alone. The test images are not loaded here at all, so that
nothing that is learnt or chosen in a search can depend on them (paper, section 3.1.1).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nni_darts.augmentation import Items
from nni_darts.data_sets import find, stratified_split

Batch = tuple[Tensor, Tensor]
"""float32 images (B, C, S, S), normalised, and their int64 labels (B,)."""


class Images(Dataset[Batch]):
    """Items with labels, read a batch at a time: the DataLoader asks `__getitems__` for all of it.

    Args:
        items: N of them.
        labels: int64 (N,).
        transform: from items to images.
    """

    def __init__(self, items: Items, labels: Tensor, transform: Callable[[Items], Tensor]) -> None:
        self.items = items
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.transform(self.items[indices]), self.labels[indices]

    def __getitem__(self, index: int) -> Batch:
        """One image (C, S, S) and its label ()."""
        images, labels = self.__getitems__([index])
        return images[0], labels[0]


def _as_it_is(batch: Any) -> Any:
    return batch


class BilevelData(LightningDataModule):
    """The data of a search: the training images of a data set, one half for w and one for alpha.

    The halves are disjoint, have every class in equal parts and depend on `seed` alone. Batches and
    augmentation draw from torch's global random state, so a run that is resumed with that state
    repeats them; workers start anew each epoch, seeded from it.

    Args:
        name: a key of `DATA_SETS`: "digits", "cifar10", "cifar100", "fashion_mnist" or
            "image_folder".
        root: the directory to download into (default: `default_root()`); for image_folder the
            directory with one per class, which is never written to; for digits there is none.
        batch_size: for w, and as many again for alpha; the paper's is 64.
        seed: of the split, from 0 to 2**32 - 1.
        num_workers: processes for each loader. Only image_folder gains by them: the others are held
            in memory and augmented a batch at a time.
        image_size: side of the square images in pixels, at least 4 because the search networks
            halve it twice; default: the data set's own, and 32 for image_folder.

    Raises:
        ValueError: an argument is out of its range, or not for this data set.
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
    ) -> None:
        super().__init__()
        self._data_set, self._source = find(name, root)
        self.name = name
        self.batch_size = _whole("batch_size", batch_size, 1)
        self.seed = _whole("seed", seed, 0, 2**32 - 1)
        self.num_workers = _whole("num_workers", num_workers, 0)
        size = self._data_set.image_size if image_size is None else image_size
        self.image_size = _whole("image_size", size, 4)
        self._halves: list[tuple[Items, Tensor]] | None = None

    @property
    def num_classes(self) -> int:
        """Of image_folder it is the number of directories; raises as `prepare_data` does."""
        return self._source.num_classes

    @property
    def in_channels(self) -> int:
        return self._data_set.in_channels

    def prepare_data(self) -> None:
        """Download what is missing, and see that all can be read.

        Raises:
            ValueError: the directory is not as it should be, or an image cannot be read.
            MissingDataError: the data is not there and could not be downloaded.
        """
        if self._halves is None:
            self._source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Load and split the training images; a second call does nothing.

        Raises:
            ValueError: a half has not one full batch.
        """
        if self._halves is not None:
            return
        items, labels = self._source.load()
        parts = stratified_split(labels.numpy(), 0.5, self.seed)
        least = min(map(len, parts))
        if self.batch_size > least:
            raise ValueError(
                f"batch_size must be at most {least}, the smaller half of the {len(labels)} "
                f"training images of {self.name}, got {self.batch_size}"
            )
        self._halves = [(items[part], labels[part]) for part in parts]

    def train_dataloader(self) -> DataLoader[Batch]:
        """The half for w: augmented, shuffled, full batches only."""
        return self._loader(0, augmented=True)

    def alpha_dataloader(self) -> DataLoader[Batch]:
        """The half for alpha, for the architect: augmented, shuffled, full batches only."""
        return self._loader(1, augmented=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The half for alpha, to measure on: every image once, as it is, in fixed order."""
        return self._loader(1, augmented=False)

    def _loader(self, half: int, *, augmented: bool) -> DataLoader[Batch]:
        if self._halves is None:
            raise RuntimeError("the data is not loaded yet: call prepare_data() and setup() first")
        items, labels = self._halves[half]
        transform = partial(
            self._data_set.transform, image_size=self.image_size, augmented=augmented
        )
        return DataLoader(
            Images(items, labels, transform),
            batch_size=self.batch_size,
            shuffle=augmented,
            drop_last=augmented,
            num_workers=self.num_workers,
            collate_fn=_as_it_is,
        )


def _whole(name: str, value: object, least: int, most: float = math.inf) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        allowed = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {value!r}")
    return value
