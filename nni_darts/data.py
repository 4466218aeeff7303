"""Image classification data sets by name, in two halves for the search: one for w, one for alpha.

The search sees the training images alone. The test images are not loaded here at all, so that
nothing that is learnt or chosen in a search can depend on them (paper, section 3.1.1).

A new data set is one entry of `DATA_SETS`.
"""

from __future__ import annotations

import math
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
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from nni_darts.messages import unknown

Batch = tuple[Tensor, Tensor]
"""float32 images (B, C, S, S), normalised, and their int64 labels (B,)."""

Positions = NDArray[np.int64]

Items = Any
"""The images of a data set as they are kept: a uint8 tensor (N, C, H, W), or an array of N paths.

Either way `items[list_of_indices]` are the items of a batch.
"""


def default_root() -> Path:
    """Where downloads go: $NNI_DARTS_DATA, or ~/.cache/nni_darts/data."""
    return Path(os.environ.get("NNI_DARTS_DATA") or "~/.cache/nni_darts/data").expanduser()


# --- Augmentation: whole batches at once, from torch's global random state. ---


def random_shift(images: Tensor, padding: int) -> Tensor:
    """RandomCrop(size, padding): each image of (B, C, H, W) moves by up to `padding`; 0 fills.

    The draws are `randint(0, 2 * padding + 1, (2, B))`: first all tops, then all lefts.
    """
    if padding == 0:
        return images
    count, _, height, width = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, count))
    # A view (B, C, tops, lefts, H, W) of every crop there is; indexing copies one for each image.
    crops = F.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    return crops[torch.arange(count), :, top, left]


def random_flip(images: Tensor) -> Tensor:
    """Each image (of B, C, H, W) is mirrored left to right where `rand(B) < 0.5`."""
    mirrored = torch.rand(len(images)) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """From uint8 (B, C, H, W) to float32; `mean` and `std` are per channel, of values in [0, 1]."""
    shift, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    return (images.float() / 255 - shift) / scale


class Transform(Protocol):
    """From the items of a batch to float32 (B, C, image_size, image_size), normalised."""

    def __call__(self, items: Items, *, image_size: int, augmented: bool) -> Tensor: ...


@dataclass(frozen=True)
class ShiftAndFlip:
    """For images held in memory, uint8 (B, C, H, W): the augmentation of the paper, then a resize.

    The shift is in the pixels of the original, so that it moves the same part of the picture
    whatever `image_size` is.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: int
    flip: bool

    def __call__(self, items: Tensor, *, image_size: int, augmented: bool) -> Tensor:
        if augmented:
            items = random_shift(items, self.padding)
            items = random_flip(items) if self.flip else items
        images = normalise(items, self.mean, self.std)
        if images.shape[-2:] == (image_size, image_size):
            return images
        return F.interpolate(images, (image_size, image_size), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class ReadAndCrop:
    """For images on disk, of any size: a random or a central crop; always as RGB.

    The proportions are those customary for ImageNet: 8 to 100 % of the area when augmented, the
    central 224 of a shorter side of 256 when not.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, items: NDArray[np.str_], *, image_size: int, augmented: bool) -> Tensor:
        if augmented:
            crop = v2.RandomResizedCrop(image_size)
        else:
            shorter = round(image_size * 256 / 224)
            crop = v2.Compose([v2.Resize(shorter), v2.CenterCrop(image_size)])
        images = torch.stack([v2.functional.pil_to_tensor(crop(_read(path))) for path in items])
        return normalise(random_flip(images) if augmented else images, self.mean, self.std)


def _read(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> ValueError:
    return ValueError(f"cannot read the image {path} ({error}); mend it or take it out")


# --- Sources: where the training images come from. ---


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
            FileNotFoundError: there is no such directory.
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
            raise FileNotFoundError(
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
                raise _unreadable(path, error) from error

    def load(self) -> tuple[NDArray[np.str_], Tensor]:
        found = [
            (str(path), label)
            for label, folder in enumerate(self._classes())
            for path in _images(folder)
        ]
        return np.array([path for path, _ in found]), torch.tensor([label for _, label in found])

    def _classes(self) -> list[Path]:
        if not self.root.is_dir():
            raise FileNotFoundError(
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


# --- The data sets. ---


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
        FileNotFoundError: the image folder is not there.
    """
    _find(name, root)[1].check()


def _find(name: str, root: str | os.PathLike[str] | None) -> tuple[DataSet, Source]:
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
    repeats them; with workers, the augmentation draws from states of theirs, seeded from it when
    they start.

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
        self._data_set, self._source = _find(name, root)
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
            FileNotFoundError: the data is not there and could not be downloaded.
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
            persistent_workers=self.num_workers > 0,
            collate_fn=_as_it_is,
        )


def _whole(name: str, value: object, least: int, most: float = math.inf) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        allowed = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {value!r}")
    return value
