"""Data of a training from scratch.

The test images are loaded nowhere but in the `setup` of `TrainingData` for a test, so that nothing
that is learnt or chosen can depend on them (paper, section 3.1.1). Whether the files can be read is
seen before, in its `prepare_data`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from nni_darts._common import limits
from nni_darts._common.checks import share, whole
from nni_darts._common.seeds import mixed
from nni_darts.tasks.images.augmentation import Items, cutout
from nni_darts.tasks.images.batches import Batch, EpochLoader, Images
from nni_darts.tasks.images.data import Loader, TrainingImages
from nni_darts.tasks.images.sources import stratified_split

__all__ = ["TrainingData"]


class TrainingData(TrainingImages):
    """Data of a training from scratch: the training images, some of them for validation.

    Which images validate depends on `seed` alone. The order of the batches, augmentation and cutout
    depend on `run_seed` and the epoch alone (see `EpochLoader`). With several processes each
    has its own share of every epoch and of what is measured on: the Trainer must be made with
    `use_distributed_sampler=False`.

    Args:
        name: see `BilevelData`.
        root: see `BilevelData`. An image folder has test images only in root/test/<class> or
            root/val/<class>, beside root/train/<class>.
        batch_size: batch size of each process; the paper's is 96.
        seed: seed of the split, from 0 to 2**32 - 1.
        num_workers: see `BilevelData`.
        image_size: see `BilevelData`.
        on_device: see `BilevelData`.
        val_share: share that validates, in [0, 1). With 0 all images are trained on and there is no
            validation; with 0.5 and the same seed the parts are the halves of `BilevelData`.
        cutout: side in pixels of the square that is blanked in each image trained on, up to
            `image_size`; the paper's is 16 for CIFAR-10, 0 is none.
        run_seed: seed of this training, from 0 to 2**32 - 1.

    Raises:
        ValueError: an argument is out of its range, or not for this data set.
    """

    def __init__(
        self,
        name: str,
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int = 96,
        seed: int = 0,
        num_workers: int = 0,
        image_size: int | None = None,
        on_device: bool = False,
        val_share: float = 0.1,
        cutout: int = 0,
        run_seed: int = 0,
    ) -> None:
        super().__init__(
            name,
            root=root,
            batch_size=batch_size,
            seed=seed,
            num_workers=num_workers,
            image_size=image_size,
            on_device=on_device,
        )
        self.val_share = share("val_share", val_share)
        self.cutout = whole("cutout", cutout, 0, self.image_size)
        self.run_seed = whole("run_seed", run_seed, 0, limits.SEED)
        self._test: tuple[Items, Tensor] | None = None

    def prepare_data(self) -> None:
        """Prepare all data, and see that the test images can be read, if there are any.

        Mistakes in them are better known before a training than after it. Raises as in the
        base class.
        """
        super().prepare_data()
        if not self._parts:
            self._source.prepare_test()

    def setup(self, stage: str | None = None) -> None:
        """Load the test images for the stage "test", else load and split the training images.

        A second call for the same does nothing.

        Raises:
            ValueError: a part has no image of some class, the part to train on has not one full
                batch for each process, or the test images are not as they should be.
            MissingDataError: there are no test images.
        """
        if stage == "test":
            self._test = self._test or self._source.load_test()
        elif not self._parts:
            items, labels = self._source.load()
            parts = stratified_split(labels.numpy(), 1 - self.val_share, self.seed)
            self._check_parts(labels, *(labels[part] for part in parts))
            self._parts = [(items[part], labels[part]) for part in parts]

    def train_dataloader(self) -> Loader:
        """Loader of the training part: augmented, with cutout, shuffled, full batches only."""
        transform = partial(_cut, transform=self._transform(augmented=True), pixels=self.cutout)
        images = Images(*self._part(0), transform)
        world, rank = self._place()
        sampler: DistributedSampler[Batch] = DistributedSampler(
            images,
            num_replicas=world,
            rank=rank,
            # It adds the epoch to its seed: unmixed, run 1 would begin with the second of run 0.
            seed=mixed(self.run_seed),
            drop_last=True,
        )
        loader = EpochLoader(
            images,
            sampler=sampler,
            epoch=self._epoch,
            seed=self.run_seed,
            drop_last=True,
            **self._options(images.items),
        )
        return self._delivered(loader)

    def val_dataloader(self) -> Loader | list[Loader]:
        """Loader of every validation image once, in fixed order; an empty list if none validate."""
        items, labels = self._part(1)
        return self._measured_on(items, labels) if len(labels) else []

    def test_dataloader(self) -> Loader:
        """Loader of every test image once, as it is, in fixed order."""
        if self._test is None:
            raise RuntimeError(
                "the test images are not loaded yet: call prepare_data() and setup('test') first"
            )
        self._test = self._placed(*self._test)
        return self._measured_on(*self._test)

    def _measured_on(self, items: Items, labels: Tensor) -> Loader:
        # DistributedSampler would pad, and count some images twice.
        world, rank = self._place()
        mine = slice(rank, None, world)
        images = Images(items[mine], labels[mine], self._transform(augmented=False))
        return self._delivered(DataLoader(images, **self._options(items)))

    def _place(self) -> tuple[int, int]:
        """Number of processes that train together, and the number of this one."""
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank

    def _epoch(self) -> int:
        return 0 if self.trainer is None else self.trainer.current_epoch

    def _check_parts(self, labels: Tensor, train: Tensor, val: Tensor) -> None:
        classes = len(labels.unique())
        for part, what, change in (
            (train, "train on", "lower it"),
            (val, "validate on", "raise it, or 0 for no validation"),
        ):
            lacking = classes - len(part.unique())
            if lacking and self.val_share > 0:
                raise ValueError(
                    f"val_share {self.val_share} of the {len(labels)} training images of "
                    f"{self.name} leaves no image to {what} of {lacking} of the {classes} classes; "
                    f"{change}"
                )
        world, _ = self._place()
        most = len(train) // world
        if self.batch_size > most:
            raise ValueError(
                f"batch_size must be at most {most}: {len(train)} of the {len(labels)} training "
                f"images of {self.name} are trained on, by {world} process(es), "
                f"got {self.batch_size}"
            )


def _cut(items: Items, *, transform: Callable[[Items], Tensor], pixels: int) -> Tensor:
    return cutout(transform(items), pixels)
