"""The image classification data sets by name. A new one is one entry of `DATA_SETS`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torchvision
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from nni_darts.augmentation import Items, ReadAndCrop, ShiftAndFlip, Transform, unreadable
from nni_darts.messages import unknown

Positions = NDArray[np.int64]


def default_root() -> Path:
    """Where downloads go: $NNI_DARTS_DATA, or ~/.cache/nni_darts/data."""
    return Path(os.environ.get("NNI_DARTS_DATA") or "~/.cache/nni_darts/data").expanduser()


class MissingDataError(FileNotFoundError, ValueError):
    """A data set is not where it was looked for, and could not be downloaded there."""


class Source(Protocol):
    """The training images of one data set. Made from the root that the user gave, or None.

    Raises:
        ValueError: a root where none is wanted, or none where one is.
    """

    @property
    def num_classes(self) -> int:
        """May look for directories, and then raises as `check` does."""

    def check(self) -> None:
        """What can be found wrong without a download and without reading an image.

        Raises:
            ValueError: the directory is not as it should be.
            MissingDataError: there is no such directory.
        """

    def prepare(self) -> None:
        """Fetch the data where need be, and see that it can be read. Raises as `check` does."""

    def load(self) -> tuple[Items, Tensor]:
        """The training images and their int64 labels (N,), 0 to num_classes - 1."""


class Digits:
    """The 8x8 images of handwritten digits that scikit-learn ships: grey, 1,797 in all.

    They have no official test set: a fifth of each class is held out, the same in every search.
    """

    num_classes = 10
    test_share = 0.2

    def __init__(self, root: Path | None) -> None:
        if root is not None:
            raise ValueError(f"digits comes with scikit-learn: leave root out, got root={root}")

    def check(self) -> None:
        """Nothing can be missing."""

    def prepare(self) -> None:
        """Nothing is downloaded."""

    def load(self) -> tuple[Tensor, Tensor]:
        # Not at the top: it takes a second to import, and the other data sets do without.
        from sklearn.datasets import load_digits

        digits = load_digits()
        train, _ = self.parts(digits.target)
        pixels = np.rint(digits.images[train] * (255 / 16)).astype(np.uint8)  # 0 to 16 there
        return torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(digits.target[train]).long()

    def parts(self, labels: Positions) -> tuple[Positions, Positions]:
        """Positions of the training part and of the test part among all labels (1797,)."""
        return stratified_split(labels, 1 - self.test_share, seed=0)


class Torchvision:
    """A data set that torchvision downloads, into `default_root()` unless a root is given.

    Args:
        kind: a class of torchvision.datasets with `data`, uint8 (N, H, W) or (N, H, W, C), and
            `targets`, (N,).
        num_classes: of it.
        files: what it downloads, relative to the root.
        root: the user's.
    """

    def __init__(
        self, kind: str, num_classes: int, files: tuple[str, ...], root: Path | None
    ) -> None:
        self.kind = kind
        self.num_classes = num_classes
        self.files = files
        self.root = default_root() if root is None else root

    def check(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(f"{self.root} must be a directory to download {self.kind} into")

    def prepare(self) -> None:
        self.check()
        # Of several trials that start on one machine, one downloads and the others wait. Where
        # nothing can be written nobody is downloading, and the files may well be there.
        writable = os.access(_existing(self.root), os.W_OK)
        try:
            if writable:
                self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{self.kind}.lock") if writable else nullcontext():
                self._open(download=writable)
        except Exception as error:  # it depends on how the network fails, or how a file is broken
            reason = str(error).strip().splitlines()[-1:]
            raise MissingDataError(
                f"no complete {self.kind} in {self.root}, and it could not be downloaded there "
                f"({': '.join([type(error).__name__, *reason])}); remove what is incomplete there "
                f"and put in: {', '.join(self.files)}"
            ) from error

    def load(self) -> tuple[Tensor, Tensor]:
        data = self._open(download=False)
        pixels = torch.as_tensor(data.data)
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        return pixels.contiguous(), torch.as_tensor(data.targets, dtype=torch.int64)

    def _open(self, *, download: bool) -> Any:
        return getattr(torchvision.datasets, self.kind)(self.root, train=True, download=download)


def _existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that exists."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


class Folder:
    """The user's own images, only read: root/<class>/**, or root/train/<class>/** if it is so.

    The classes are the directories in alphabetical order; names that begin with a dot are skipped.
    """

    def __init__(self, root: Path | None) -> None:
        if root is None:
            raise ValueError("image_folder needs root, a directory with one per class in it")
        self.root = root

    @property
    def num_classes(self) -> int:
        return len(self._classes())

    def check(self) -> None:
        for folder in self._classes():
            count = len(_images(folder))
            if count < 2:
                raise ValueError(
                    f"the class {folder} must have at least 2 images, one for w and one for alpha, "
                    f"got {count}; add some ({', '.join(IMG_EXTENSIONS)}) or take it out"
                )

    def prepare(self) -> None:
        self.check()
        paths, _ = self.load()
        for path in paths:
            try:
                with Image.open(path) as image:
                    image.verify()
            except Exception as error:  # the decoders raise what they like
                raise unreadable(path, error) from error

    def load(self) -> tuple[NDArray[np.str_], Tensor]:
        found = [
            (str(path), label)
            for label, folder in enumerate(self._classes())
            for path in _images(folder)
        ]
        return np.array([path for path, _ in found]), torch.tensor([label for _, label in found])

    def _classes(self) -> list[Path]:
        if not self.root.is_dir():
            raise MissingDataError(
                f"image_folder needs a directory with one per class in it, and there is none at "
                f"{self.root.absolute()}; give its path as root"
            )
        # A class may itself be called "train".
        found = _directories(self.root / "train") or _directories(self.root)
        if len(found) < 2:
            raise ValueError(
                f"image_folder needs at least two classes, a directory each, in {self.root}, "
                f"got {[folder.name for folder in found]}"
            )
        return found


def _directories(parent: Path) -> list[Path]:
    return sorted(p for p in parent.glob("*") if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMG_EXTENSIONS and not path.name.startswith(".")
    )


@dataclass(frozen=True)
class DataSet:
    """All that the search needs to know about one data set."""

    source: Callable[[Path | None], Source]
    transform: Transform
    in_channels: int
    image_size: int
    """Unless another is asked for; the images are square."""


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
    """Whether a data set can be had, as far as that shows without a download or reading an image.

    Raises:
        ValueError: no such data set, a root where none is wanted or none where one is, or a folder
            with fewer than two classes or a class with fewer than two images.
        MissingDataError: the image folder is not there.
    """
    find(name, root)[1].check()


def find(name: str, root: str | os.PathLike[str] | None) -> tuple[DataSet, Source]:
    if name not in DATA_SETS:
        raise ValueError(unknown("data set", name, DATA_SETS))
    data_set = DATA_SETS[name]
    return data_set, data_set.source(None if root is None else Path(root).expanduser())


def stratified_split(labels: Positions, share: float, seed: int) -> tuple[Positions, Positions]:
    """Two parts that share every class out alike: positions in `labels` (N,), each part ascending.

    The first part has `share` of all, and of each class, to within one image. numpy's RandomState
    never changes its stream (NEP 19): a seed means the same parts everywhere.
    """
    random = np.random.RandomState(seed)
    first, second, seen = [], [], 0
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        # Rounded over all classes so far: odd ones give their odd image to either part in turn.
        cut = int(share * (seen + len(members))) - int(share * seen)
        seen += len(members)
        first.append(members[:cut])
        second.append(members[cut:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))
