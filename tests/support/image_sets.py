"""Data sets as files of a few images, and what is asked of their batches."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor

from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import DATA_SETS


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def _moments(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    transform = DATA_SETS[name].transform
    return transform.mean, transform.std  # type: ignore[attr-defined]


def _cifar(root: Path, monkeypatch: pytest.MonkeyPatch, *, fine: bool) -> Tensor:
    """100 training images in the authors' format, (100, 3, 32, 32), and a test batch.

    The first value of each is its label.
    """
    kind = torchvision.datasets.CIFAR100 if fine else torchvision.datasets.CIFAR10
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    key = "fine_labels" if fine else "labels"

    def write(name: str, content: object) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(name: str, count: int) -> tuple[list[str], np.ndarray]:
        data = random.randint(0, 256, (count, 3072), dtype=np.uint8)
        data[:, 0] = np.arange(count) % 10
        content = {"data": data, key: data[:, 0].tolist()}
        return [name, write(name, content)], data

    parts = [batch(name, 100 // len(kind.train_list)) for name, _ in kind.train_list]
    monkeypatch.setattr(kind, "train_list", [entry for entry, _ in parts])
    monkeypatch.setattr(kind, "test_list", [batch(kind.test_list[0][0], 10)[0]])
    meta = kind.meta
    md5 = write(meta["filename"], {meta["key"]: [str(i) for i in range(100 if fine else 10)]})
    monkeypatch.setattr(kind, "meta", {**meta, "md5": md5})
    return torch.from_numpy(np.concatenate([data for _, data in parts])).view(-1, 3, 32, 32)


def _fashion_mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The four .gz files as they are downloaded; 40 training images (40, 1, 28, 28).

    The first value of each is its label.
    """
    kind = torchvision.datasets.FashionMNIST
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    train = random.randint(0, 256, (40, 28, 28), dtype=np.uint8)
    test = random.randint(0, 256, (10, 28, 28), dtype=np.uint8)
    labels = (np.arange(40) % 10).astype(np.uint8)
    train[:, 0, 0] = labels
    sums = []
    for (name, _), array in zip(kind.resources, [train, labels, test, labels[:10]], strict=True):
        header = bytes([0, 0, 8, array.ndim])
        header += b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / name).write_bytes(gzip.compress(header + array.tobytes()))
        sums.append((name, hashlib.md5((folder / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(kind, "resources", sums)
    return torch.from_numpy(train).unsqueeze(1)


def _folder(root: Path, counts: dict[str, int]) -> Path:
    """Images of odd sizes and modes; those of class k are of grey level 40 * (k + 1)."""
    for k, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            size, mode = (40 + 7 * i, 30 + k), ("RGB", "L", "RGBA")[i % 3]
            level = 40 * (k + 1)
            image = Image.new("L", size, level).convert(mode)
            image.save(root / name / f"{i}.{'PNG' if i % 2 else 'png'}")
    return root


def ready(name: str, **options: object) -> BilevelData:
    data = BilevelData(name, **options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup("fit")
    return data


def halves(data: BilevelData) -> tuple[Tensor, Tensor]:
    """All images of either half as they are kept, (N, C, H, W)."""
    return data.train_dataloader().dataset.items, data.val_dataloader().dataset.items  # type: ignore[attr-defined]
