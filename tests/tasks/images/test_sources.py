"""Sources of images: the loading code of torchvision on small files, folders, and the split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from image_sets import _cifar, _fashion_mnist, _folder, _moments, halves, ready, rows
from PIL import Image

from nni_darts.tasks.images.augmentation import normalise
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import check
from nni_darts.tasks.images.sources import default_root, stratified_split
from nni_darts.tasks.missing_data import MissingDataError


def test_stratified_split_is_pinned() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    first, second = stratified_split(labels, 0.5, seed=0)
    assert sorted([*first, *second]) == list(range(8))
    # Odd classes give their odd image to either part in turn.
    assert np.bincount(labels[first]).tolist() == [1, 2, 1]
    assert np.bincount(labels[second]).tolist() == [2, 1, 1]
    # As it came out at first: a later numpy must not change it.
    assert (first.tolist(), second.tolist()) == ([2, 3, 5, 6], [0, 1, 4, 7])


def test_a_share_is_a_decimal() -> None:
    # 0.57 * 100 is 56.99999999999999, and 1 - 0.9 is less than 0.1.
    labels = np.repeat(np.arange(3), 100)
    for share, count in ((0.57, 57), (1 - 0.9, 10), (0.1, 10), (0.29, 29), (1, 100), (0, 0)):
        parts = stratified_split(labels, share, seed=0)
        assert np.bincount(labels[parts[0]], minlength=3).tolist() == [count] * 3
        assert sorted([*parts[0], *parts[1]]) == list(range(300))


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, classes: int) -> None:
    expected = _cifar(tmp_path, monkeypatch, fine=classes == 100)
    data = ready(name, root=tmp_path, batch_size=20)
    assert (data.num_classes, data.in_channels, data.image_size) == (classes, 3, 32)
    assert rows(torch.cat(halves(data))) == rows(expected)
    images, _ = map(torch.cat, zip(*data.train_dataloader(), strict=True))
    assert images.shape == (40, 3, 32, 32)  # of 50: full batches only
    _, labels = map(torch.cat, zip(*data.val_dataloader(), strict=True))
    assert torch.bincount(labels).tolist() == [5] * 10
    assert torch.equal(halves(data)[1][:, 0, 0, 0], labels)
    assert not list(tmp_path.glob("*.tar.gz"))


def test_the_test_images_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cifar(tmp_path, monkeypatch, fine=False)
    opened: list[bool] = []
    kind = torchvision.datasets.CIFAR10
    original = kind.__init__

    def spy(self: object, root: Path, train: bool = True, **options: object) -> None:
        opened.append(train)
        original(self, root, train=train, **options)

    monkeypatch.setattr(kind, "__init__", spy)
    ready("cifar10", root=tmp_path, batch_size=20)
    assert opened
    assert all(opened)


def test_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _fashion_mnist(tmp_path, monkeypatch)
    monkeypatch.setenv("NNI_DARTS_DATA", str(tmp_path))
    data = ready("fashion_mnist", batch_size=20)
    assert (data.num_classes, data.in_channels, data.image_size) == (10, 1, 28)
    assert rows(torch.cat(halves(data))) == rows(expected)
    images, _ = next(iter(data.alpha_dataloader()))
    assert images.shape == (20, 1, 28, 28)
    _, labels = next(iter(data.val_dataloader()))
    assert torch.equal(halves(data)[1][:, 0, 0, 0], labels)


def test_the_files_the_message_names_are_the_ones_torchvision_looks_for() -> None:
    kind = torchvision.datasets
    for name, expected in {
        "cifar10": [kind.CIFAR10.filename],
        "cifar100": [kind.CIFAR100.filename],
        "fashion_mnist": [f"FashionMNIST/raw/{file}" for file, _ in kind.FashionMNIST.resources],
    }.items():
        assert list(BilevelData(name)._source.files) == expected  # type: ignore[attr-defined]


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NNI_DARTS_DATA", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("NNI_DARTS_DATA")
    assert default_root() == Path.home() / ".cache" / "nni_darts" / "data"


def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", refuse)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion_mnist"])
def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _offline(monkeypatch)
    check(name, tmp_path)
    data = BilevelData(name, root=tmp_path / "new")
    with pytest.raises(MissingDataError) as caught:
        data.prepare_data()
    message = str(caught.value)
    assert f"in {tmp_path / 'new'}, and it could not be downloaded" in message
    assert "Name or service not known" in message
    assert data._source.files[0] in message  # type: ignore[attr-defined]
    assert "\n" not in message


def test_incomplete_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fashion_mnist(tmp_path, monkeypatch)
    ready("fashion_mnist", root=tmp_path, batch_size=20)
    broken = tmp_path / "FashionMNIST/raw/train-images-idx3-ubyte"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(MissingDataError, match="remove what is incomplete there"):
        BilevelData("fashion_mnist", root=tmp_path).prepare_data()


def test_a_root_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cifar(tmp_path, monkeypatch, fine=False)
    monkeypatch.setattr("nni_darts.tasks.images.sources.os.access", lambda path, mode: False)
    ready("cifar10", root=tmp_path, batch_size=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar-10-batches-py"]


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a directory to download CIFAR10 into"):
        check("cifar10", tmp_path / "file")


def test_image_folder(tmp_path: Path) -> None:
    root = _folder(tmp_path, {"cat": 6, "dog": 5, "train": 4})
    (root / ".hidden").mkdir()
    (root / "cat" / "notes.txt").write_text("not an image")
    (root / "cat" / "._0.png").write_text("not an image either")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    data = BilevelData("image_folder", root=root, batch_size=7, image_size=24)
    assert data.num_classes == 3
    data.prepare_data()
    data.setup("fit")
    assert (data.in_channels, data.image_size) == (3, 24)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    w, alpha = halves(data)
    assert not set(w) & set(alpha)
    assert len(w) + len(alpha) == 15
    for loader in (data.train_dataloader(), data.alpha_dataloader(), data.val_dataloader()):
        images, labels = next(iter(loader))
        assert images.shape == (7, 3, 24, 24)
        assert images.dtype == torch.float32
        # Each image is of the level of its class, in all channels.
        levels = 40 * (labels + 1).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 24, 24)
        torch.testing.assert_close(images, normalise(levels, *_moments("image_folder")))


def test_image_folder_takes_the_training_part_if_there_is_one(tmp_path: Path) -> None:
    _folder(tmp_path / "train", {"cat": 4, "dog": 4})
    _folder(tmp_path / "test", {"cat": 4, "dog": 4})
    data = ready("image_folder", root=tmp_path, batch_size=2)
    assert data.num_classes == 2
    paths = [Path(path) for half in halves(data) for path in half]
    assert len(paths) == 8
    assert all(tmp_path / "train" in path.parents for path in paths)


def test_image_folder_without_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image_folder needs root"):
        BilevelData("image_folder")
    data = BilevelData("image_folder", root=tmp_path / "nowhere")
    calls: list[Callable[[], object]] = [
        data.prepare_data,
        lambda: data.num_classes,
        lambda: check("image_folder", tmp_path / "nowhere"),
    ]
    for call in calls:
        with pytest.raises(MissingDataError, match="nowhere; give its path as root"):
            call()


def test_image_folder_with_too_few(tmp_path: Path) -> None:
    _folder(tmp_path, {"cat": 3})
    with pytest.raises(ValueError, match=r"at least two classes.*got \['cat'\]"):
        check("image_folder", tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match=r"dog must have at least 2 images.*got 0"):
        check("image_folder", tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "dog" / "0.png")
    with pytest.raises(ValueError, match=r"dog must have at least 2 images.*got 1"):
        BilevelData("image_folder", root=tmp_path).prepare_data()


def test_images_in_hidden_folders_are_nobodys(tmp_path: Path) -> None:
    _folder(tmp_path, {"cat": 3, "dog": 3})
    for hidden in ("cat/.ipynb_checkpoints", "dog/deep/.cache/deeper", "dog/photo.png"):
        (tmp_path / hidden).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / hidden / "0-checkpoint.png")
    (tmp_path / "dog/deep/.cache/deeper/0.png").write_bytes(b"")
    data = ready("image_folder", root=tmp_path, batch_size=2)
    found = sorted(str(Path(p).relative_to(tmp_path)) for half in halves(data) for p in half)
    # A folder may have the name of an image.
    plain = [f"{name}/{i}.{'PNG' if i % 2 else 'png'}" for name in ("cat", "dog") for i in range(3)]
    assert found == sorted([*plain, "dog/photo.png/0-checkpoint.png"])
