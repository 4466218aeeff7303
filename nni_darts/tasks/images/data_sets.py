"""The image classification data sets by name. A new one is one entry of `DATA_SETS`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nni_darts._common.checks import as_path
from nni_darts._common.files import at_home
from nni_darts._common.messages import unknown
from nni_darts.tasks.images.augmentation import ReadAndCrop, ShiftAndFlip, Transform
from nni_darts.tasks.images.sources import Digits, Folder, Source, Torchvision


@dataclass(frozen=True)
class DataSet:
    """Description of one data set: all that a search or a training needs to know."""

    source: Callable[[Path | None], Source]
    transform: Transform
    in_channels: int
    image_size: int
    """Default size of the images, which are square."""


# The settings of the authors' code for CIFAR-10, taken for CIFAR-100 too.
_CIFAR = ShiftAndFlip(
    mean=(0.49139968, 0.48215827, 0.44653124),
    std=(0.24703233, 0.24348505, 0.26158768),
    padding=4,
    flip=True,
)

DATA_SETS: Mapping[str, DataSet] = {
    "digits": DataSet(
        Digits,
        # Mean and std of the training part. No flip: a mirrored digit is another thing.
        ShiftAndFlip(mean=(0.3052,), std=(0.3758,), padding=1, flip=False),
        in_channels=1,
        image_size=8,
    ),
    "cifar10": DataSet(
        partial(Torchvision, "CIFAR10", 10, ("cifar-10-python.tar.gz",)),
        _CIFAR,
        in_channels=3,
        image_size=32,
    ),
    "cifar100": DataSet(
        partial(Torchvision, "CIFAR100", 100, ("cifar-100-python.tar.gz",)),
        _CIFAR,
        in_channels=3,
        image_size=32,
    ),
    "fashion_mnist": DataSet(
        partial(
            Torchvision,
            "FashionMNIST",
            10,
            tuple(
                f"FashionMNIST/raw/{part}-{what}-ubyte.gz"
                for part in ("train", "t10k")
                for what in ("images-idx3", "labels-idx1")
            ),
        ),
        # The customary mean and std of its training images.
        ShiftAndFlip(mean=(0.2860,), std=(0.3530,), padding=4, flip=True),
        in_channels=1,
        image_size=28,
    ),
    "image_folder": DataSet(
        Folder,
        # The customary mean and std of ImageNet.
        ReadAndCrop(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        in_channels=3,
        image_size=32,  # what the search network of the paper is made for
    ),
}


def check(name: str, root: str | os.PathLike[str] | None = None) -> None:
    """Check that a data set can be had, without a download or reading an image.

    Raises:
        ValueError: no such data set, a root where none is wanted or none where one is, or a folder
            with fewer than two classes or a class with fewer than two images.
        MissingDataError: the image folder is not there.
    """
    data_set_and_source(name, root)[1].check()


def check_test(name: str, root: str | os.PathLike[str] | None = None) -> None:
    """Check that a data set has test images, as far as `check` would see it. Raises as `check`.

    Only an image folder may lack them: it needs root/test/<class> or root/val/<class> beside
    root/train/<class>, with the same classes.
    """
    data_set_and_source(name, root)[1].check_test()


def data_set_and_source(name: str, root: str | os.PathLike[str] | None) -> tuple[DataSet, Source]:
    if not isinstance(name, str) or name not in DATA_SETS:
        # A slip in the name of another task's data ends here, too.
        from nni_darts.tasks.registry import TASKS

        others = [known for task in TASKS for known in task.data]
        raise ValueError(unknown("data set", name, [*DATA_SETS, *others]))
    data_set = DATA_SETS[name]
    return data_set, data_set.source(None if root is None else at_home(as_path("root", root)))
