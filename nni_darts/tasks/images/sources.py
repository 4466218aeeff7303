"""Sources of the data sets' images, and the split of a part of them."""

from __future__ import annotations

import os
import reprlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torchvision
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from nni_darts._common.files import at_home
from nni_darts.tasks.images.augmentation import Items
from nni_darts.tasks.images.image_check import require_readable
from nni_darts.tasks.missing_data import MissingDataError

Positions = NDArray[np.int64]


def default_root() -> Path:
    """Folder of downloads: $NNI_DARTS_DATA, or ~/.cache/nni_darts/data."""
    return at_home(os.environ.get("NNI_DARTS_DATA") or "~/.cache/nni_darts/data")


class Source(Protocol):
    """Images of one data set. Made from the root that the user gave, or None.

    Only `load_test` gives the test images, and `prepare_test` looks at them; nothing else does.

    Raises:
        ValueError: a root where none is wanted, or none where one is.
    """

    @property
    def num_classes(self) -> int:
        """Number of classes; may look for directories, and then raises as `check` does."""

    def check(self) -> None:
        """Find mistakes without a download and without reading an image.

        Raises:
            ValueError: the directory is not as it should be.
            MissingDataError: there is no such directory.
        """

    def prepare(self) -> None:
        """Fetch the data where need be, and see that it can be read. Raises as `check` does."""

    def prepare_test(self) -> None:
        """See that the test images can be read, if there are any. Nothing is kept of them.

        Raises:
            ValueError: one cannot be read.
        """

    def load(self) -> tuple[Items, Tensor]:
        """The training images and their int64 labels (N,), 0 to num_classes - 1."""

    def check_test(self) -> None:
        """Check that there are test images, as far as that shows without reading one.

        Raises as `check` does.
        """

    def load_test(self) -> tuple[Items, Tensor]:
        """The official test images and their labels, numbered as in `load`.

        Raises as `check` does.
        """


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
        """Do nothing, as nothing can be missing."""

    def prepare(self) -> None:
        """Do nothing, as nothing is downloaded."""

    def prepare_test(self) -> None:
        """Do nothing, as the test images come with scikit-learn."""

    def load(self) -> tuple[Tensor, Tensor]:
        return self._load(0)

    def check_test(self) -> None:
        """Do nothing, as nothing can be missing."""

    def load_test(self) -> tuple[Tensor, Tensor]:
        return self._load(1)

    def parts(self, labels: Positions) -> tuple[Positions, Positions]:
        """Positions of the training part and of the test part among all labels (1797,)."""
        return stratified_split(labels, 1 - self.test_share, seed=0)

    def _load(self, part: int) -> tuple[Tensor, Tensor]:
        # Not at the top: it takes a second to import, and the other data sets do without.
        from sklearn.datasets import load_digits

        digits = load_digits()
        chosen = self.parts(digits.target)[part]
        pixels = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)  # 0 to 16 there
        return torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(digits.target[chosen]).long()


class Torchvision:
    """A data set that torchvision downloads, into `default_root()` unless a root is given.

    Args:
        kind: a class of torchvision.datasets with `data`, uint8 (N, H, W) or (N, H, W, C), and
            `targets`, (N,).
        num_classes: number of its classes.
        files: files that it downloads, relative to the root.
        root: root that the user gave.
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
                # It looks for the files of the test part too.
                self._open(train=True, download=writable)
        except Exception as error:  # it depends on how the network fails, or how a file is broken
            raise MissingDataError(
                f"no complete {self.kind} in {self.root}, and it could not be downloaded there "
                f"({_cause(error)}); remove what is incomplete there "
                f"and put in: {', '.join(self.files)}"
            ) from error

    def prepare_test(self) -> None:
        """Do nothing, as `prepare` has the test images, too."""

    def load(self) -> tuple[Tensor, Tensor]:
        return self._load(train=True)

    def check_test(self) -> None:
        """Do nothing, as the test part comes with the training part."""

    def load_test(self) -> tuple[Tensor, Tensor]:
        return self._load(train=False)

    def _load(self, *, train: bool) -> tuple[Tensor, Tensor]:
        try:
            data = self._open(train=train, download=False)
            pixels = torch.as_tensor(data.data)
        except Exception as error:  # as many as there are ways for a file to be broken
            raise MissingDataError(
                f"cannot read {self.kind} in {self.root} "
                f"({_cause(error)}); take out its files there and put "
                f"in: {', '.join(self.files)}"
            ) from error
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        return pixels.contiguous(), torch.as_tensor(data.targets, dtype=torch.int64)

    def _open(self, *, train: bool, download: bool) -> Any:
        return getattr(torchvision.datasets, self.kind)(self.root, train=train, download=download)


def _cause(error: Exception) -> str:
    """Type of an error and the last line of its message, if it has one."""
    return ", ".join([type(error).__name__, *str(error).strip().splitlines()[-1:]])


def _existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that exists."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


class Folder:
    """The user's own images, only read: root/<class>/**, or root/train/<class>/** if it is so.

    The classes are the directories in alphabetical order; names that begin with a dot are skipped.
    Beside root/train, the test images are those of root/test/<class>/**, or where there is no such
    directory (ImageNet's images in "test" have no labels) root/val/<class>/**.
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
        require_readable(self.load()[0].tolist())

    def prepare_test(self) -> None:
        try:
            paths, _ = self.load_test()
        except ValueError:  # who tests says so
            return
        require_readable(paths.tolist())

    def load(self) -> tuple[NDArray[np.str_], Tensor]:
        return _listed(self._classes())

    def check_test(self) -> None:
        for folder in self._test_classes():
            if not _images(folder):
                raise ValueError(
                    f"the class {folder} must have at least 1 image to test on, got none; "
                    f"add some ({', '.join(IMG_EXTENSIONS)})"
                )

    def load_test(self) -> tuple[NDArray[np.str_], Tensor]:
        self.check_test()
        return _listed(self._test_classes())

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

    def _test_classes(self) -> list[Path]:
        """Folders of the test images, in the order of the training classes."""
        train = self._classes()
        if train[0].parent == self.root:
            raise ValueError(
                f"image_folder has test images only beside {self.root / 'train'}, and here the "
                f"classes lie in {self.root} itself, where 'test' could be one of them; move them "
                f"to train/<class> and put the test images into test/<class>"
            )
        found = _directories(self.root / "test") or _directories(self.root / "val")
        if not found:
            raise MissingDataError(
                f"image_folder needs test images, and there is no directory with one per class in "
                f"it at {self.root / 'test'} or {self.root / 'val'}; put them into one of these"
            )
        expected, got = ([folder.name for folder in part] for part in (train, found))
        if expected != got:  # both in alphabetical order
            missing = [name for name in expected if name not in got]
            foreign = [name for name in got if name not in expected]
            raise ValueError(
                f"{found[0].parent} must have the classes of {train[0].parent}: "
                f"missing {reprlib.repr(missing)}, foreign {reprlib.repr(foreign)}; "
                f"add or take out what differs"
            )
        return found


def _listed(classes: list[Path]) -> tuple[NDArray[np.str_], Tensor]:
    """The paths (N,) of all images and their labels (N,), the positions in `classes`."""
    found = [(str(path), label) for label, folder in enumerate(classes) for path in _images(folder)]
    return np.array([path for path, _ in found]), torch.tensor([label for _, label in found])


def _directories(parent: Path) -> list[Path]:
    return sorted(p for p in parent.glob("*") if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    """Paths of images at any depth; none in hidden folders, where programs keep copies."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(IMG_EXTENSIONS):
                found.append(Path(parent, name))
    return sorted(found)


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
        cut = _floor(share * (seen + len(members))) - _floor(share * seen)
        seen += len(members)
        first.append(members[:cut])
        second.append(members[cut:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _floor(count: float) -> int:
    # A share is a decimal: 0.57 * 100 is 56.99999999999999 in floating point, and means 57.
    return int(round(count, 6))
