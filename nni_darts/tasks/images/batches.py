"""Batches of images: read at once, and, in a training, the same ones in the same epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from nni_darts._common.seeds import mixed
from nni_darts.tasks.images.augmentation import Items
from nni_darts.tasks.images.device_batches import beside

Batch = tuple[Tensor, Tensor]
"""float32 images (B, C, S, S), normalised, and their int64 labels (B,)."""


class Images(Dataset[Batch]):
    """Items with labels, read a batch at a time: the DataLoader asks `__getitems__` for all of it.

    Args:
        items: N of them; a tensor may be on any device, and the batches are then there too.
        labels: int64 (N,), on the device of the items.
        transform: maps items to images.
    """

    def __init__(self, items: Items, labels: Tensor, transform: Callable[[Items], Tensor]) -> None:
        self.items = items
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> Batch:
        on_cpu = self.labels.device.type == "cpu"
        chosen: Any = indices if on_cpu else beside(torch.tensor(indices), self.labels)
        return self.transform(self.items[chosen]), self.labels[chosen]

    def __getitem__(self, index: int) -> Batch:
        """Image (C, S, S) at an index, and its label ()."""
        images, labels = self.__getitems__([index])
        return images[0], labels[0]


class EpochLoader(DataLoader[Batch]):
    """Loader whose batches depend on (seed, epoch, rank) alone, whatever was drawn before.

    At the first batch of an epoch it seeds torch's global random state. Augmentation, the workers
    and what the network draws in that epoch (drop path) follow from there, so that a training that
    is resumed at an epoch repeats it bit for bit.

    Args:
        images: images that are trained on.
        sampler: sampler of `images`; its order is that of (its seed, epoch).
        epoch: gives the number of the epoch that begins.
        seed: seed, from 0.
        options: options of the DataLoader; a sampler takes the place of `shuffle`.
    """

    def __init__(
        self,
        images: Images,
        *,
        sampler: DistributedSampler[Batch],
        epoch: Callable[[], int],
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(images, sampler=sampler, **options)
        self._sampler = sampler
        self._epoch = epoch
        self._seed = seed

    # An iterator of any kind does for a loop; the base class promises its own.
    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # A generator, for its body must wait for the first batch: Lightning makes the first
        # iterator before its hooks have run and, in a resumed training, before it counts on from
        # the epoch of the checkpoint.
        epoch = self._epoch()
        self._sampler.set_epoch(epoch)
        torch.manual_seed(mixed(self._seed, epoch, self._sampler.rank))
        yield from super().__iter__()


def as_it_is(batch: Any) -> Any:
    return batch
