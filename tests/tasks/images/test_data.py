"""Data, data sets and augmentation: the halves, the real loading code, and every mistake."""

from __future__ import annotations

import hashlib
import math
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from image_sets import _cifar, _fashion_mnist, _folder, _moments, rows
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.transforms import v2

from nni_darts.tasks.images.augmentation import (
    cutout,
    normalise,
    random_flip,
    random_shift,
    read_image,
)
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import DATA_SETS, check
from nni_darts.tasks.images.device_batches import DeviceBatches
from nni_darts.tasks.images.sources import Digits, default_root, stratified_split
from nni_darts.tasks.missing_data import MissingDataError


def ready(name: str, **options: object) -> BilevelData:
    data = BilevelData(name, **options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup("fit")
    return data


def halves(data: BilevelData) -> tuple[Tensor, Tensor]:
    """All images of either half as they are kept, (N, C, H, W)."""
    return data.train_dataloader().dataset.items, data.val_dataloader().dataset.items  # type: ignore[attr-defined]


# --- Digits, end to end. ---


def test_digits_batches() -> None:
    data = ready("digits", batch_size=64)
    assert (data.num_classes, data.in_channels, data.image_size) == (10, 1, 8)
    for loader in (data.train_dataloader(), data.alpha_dataloader()):
        batches = list(loader)
        assert len(batches) == len(loader) == 11  # of 718 and 719 images
        for images, labels in batches:
            assert images.shape == (64, 1, 8, 8)
            assert images.dtype == torch.float32
            assert labels.shape == (64,)
            assert labels.dtype == torch.int64
    sizes = [len(labels) for _, labels in data.val_dataloader()]
    assert sizes == [64] * 11 + [15]


def test_digits_are_normalised() -> None:
    data = ready("digits", batch_size=718)
    everything = torch.cat(halves(data))
    images = normalise(everything, *_moments("digits"))
    assert images.mean().item() == pytest.approx(0, abs=1e-3)
    assert images.std().item() == pytest.approx(1, abs=1e-3)


def test_digits_halves_are_the_training_part_and_disjoint_from_the_test_part() -> None:
    w, alpha = (rows(half) for half in halves(ready("digits")))
    raw = load_digits()
    train, test = Digits(None).parts(raw.target)
    pixels = torch.from_numpy(np.rint(raw.images * 255 / 16).astype(np.uint8))
    assert len(w) + len(alpha) == len(train) == 1437  # no image occurs twice in the digits
    assert not w & alpha
    assert w | alpha == rows(pixels[train])
    assert not (w | alpha) & rows(pixels[test])
    assert np.abs(np.bincount(raw.target[test]) - 36).max() <= 1


def test_digits_halves_are_stratified() -> None:
    data = ready("digits")
    counts = [
        torch.bincount(loader.dataset.labels)  # type: ignore[attr-defined]
        for loader in (data.train_dataloader(), data.val_dataloader())
    ]
    assert (counts[0] - counts[1]).abs().max() <= 1


def test_the_test_part_does_not_depend_on_the_seed() -> None:
    both = [torch.cat(halves(ready("digits", seed=seed))) for seed in (0, 1)]
    assert rows(both[0]) == rows(both[1])
    assert not torch.equal(*both)


def test_the_split_is_the_same_in_a_fresh_process() -> None:
    def digest(seed: int) -> str:
        return hashlib.sha256(halves(ready("digits", seed=seed))[0].numpy().tobytes()).hexdigest()

    code = (
        "import hashlib; from nni_darts.tasks.images.data import BilevelData; d = "
        "BilevelData('digits', seed=3);"
        "d.setup(); x = d.train_dataloader().dataset.items.numpy();"
        "print(hashlib.sha256(x.tobytes()).hexdigest())"
    )
    root = Path(__file__).parents[3]
    fresh = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert fresh.stdout.strip() == digest(3) == digest(3)
    assert digest(3) != digest(4)


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


def test_there_is_no_test_loader() -> None:
    assert "test_dataloader" not in vars(BilevelData)


def test_setup_twice_does_nothing() -> None:
    data = ready("digits")
    before = halves(data)[0]
    data.prepare_data()
    data.setup("fit")
    assert torch.equal(halves(data)[0], before)


def test_loaders_before_setup_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"call prepare_data\(\) and setup\(\)"):
        BilevelData("digits").train_dataloader()


# --- What is augmented, and what the random state decides. ---


def test_only_the_metric_is_measured_on_plain_images() -> None:
    data = ready("digits", batch_size=718)
    plain = torch.cat([images for images, _ in data.val_dataloader()])
    torch.testing.assert_close(plain, normalise(halves(data)[1], *_moments("digits")))
    assert torch.equal(plain, torch.cat([images for images, _ in data.val_dataloader()]))
    images, _ = next(iter(data.alpha_dataloader()))
    assert len(rows(images) - rows(plain)) > 500  # 8 of 9 shifts move a digit


def test_alpha_learns_on_the_validation_half() -> None:
    data = ready("digits")
    alpha, val, train = data.alpha_dataloader(), data.val_dataloader(), data.train_dataloader()
    assert torch.equal(alpha.dataset.items, val.dataset.items)  # type: ignore[attr-defined]
    assert not rows(alpha.dataset.items) & rows(train.dataset.items)  # type: ignore[attr-defined]


def test_the_global_random_state_decides_the_batches() -> None:
    data = ready("digits")

    def epoch(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([images for images, _ in data.train_dataloader()])

    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(epoch(0), epoch(1))


def test_a_saved_random_state_resumes() -> None:
    data = ready("digits")
    loader = data.train_dataloader()
    list(loader)
    state = torch.get_rng_state()
    second = torch.cat([images for images, _ in loader])
    torch.set_rng_state(state)
    fresh = data.train_dataloader()
    assert torch.equal(second, torch.cat([images for images, _ in fresh]))


def test_workers_give_the_same_images() -> None:
    plain = list(ready("digits").val_dataloader())
    loader = ready("digits", num_workers=2).val_dataloader()
    for (images, labels), (expected, expected_labels) in zip(loader, plain, strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, expected_labels)


def test_workers_repeat_an_epoch_from_its_random_state() -> None:
    # As a resumed search must: workers that lived on would augment from where they were.
    loader = ready("digits", num_workers=2).alpha_dataloader()
    list(loader)
    torch.manual_seed(1)
    first = torch.cat([images for images, _ in loader])
    torch.manual_seed(1)
    fresh = ready("digits", num_workers=2).alpha_dataloader()
    assert torch.equal(first, torch.cat([images for images, _ in fresh]))


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_shift_is_a_crop_per_image(padding: int) -> None:
    images = torch.randint(0, 256, (20, 3, 7, 5), dtype=torch.uint8)
    torch.manual_seed(0)
    shifted = random_shift(images, padding)
    torch.manual_seed(0)
    top, left = torch.randint(0, 2 * padding + 1, (2, 20)).tolist()
    for image, t, x, got in zip(images, top, left, shifted, strict=True):
        padded = v2.functional.pad(image, [padding] * 4)
        assert torch.equal(got, v2.functional.crop(padded, t, x, 7, 5))
    if padding == 0:
        assert torch.equal(shifted, images)


def test_every_shift_is_drawn() -> None:
    image = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
    image[0, 0, 2, 2] = 1
    shifted = random_shift(image.expand(2000, -1, -1, -1), 1)
    assert set(shifted.flatten(1).argmax(1).tolist()) == {6, 7, 8, 11, 12, 13, 16, 17, 18}


def test_flip_is_per_image() -> None:
    images = torch.randint(0, 256, (20, 3, 7, 5), dtype=torch.uint8)
    torch.manual_seed(0)
    flipped = random_flip(images)
    torch.manual_seed(0)
    draws = torch.rand(20).tolist()
    assert 0 < sum(draw < 0.5 for draw in draws) < 20
    for image, draw, got in zip(images, draws, flipped, strict=True):
        assert torch.equal(got, v2.functional.hflip(image) if draw < 0.5 else image)


def _holes(images: Tensor, pixels: int, centres: list[tuple[int, int]]) -> Tensor:
    """The same by loops: images (B, C, H, W), the centre (row, column) of each."""
    expected = images.clone()
    for image, (y, x) in zip(expected, centres, strict=True):
        for row in range(y - pixels // 2, y - pixels // 2 + pixels):
            for column in range(x - pixels // 2, x - pixels // 2 + pixels):
                if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                    image[:, row, column] = 0
    return expected


@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 7])
def test_cutout_is_a_square_per_image(pixels: int) -> None:
    images = torch.rand(50, 3, 7, 5) + 1
    torch.manual_seed(0)
    got = cutout(images, pixels)
    torch.manual_seed(0)
    rows_drawn, columns_drawn = torch.randint(0, 7, (50,)), torch.randint(0, 5, (50,))
    centres = list(zip(rows_drawn.tolist(), columns_drawn.tolist(), strict=True))
    assert len(set(centres)) > 15  # each image has its own
    assert torch.equal(got, _holes(images, pixels, centres))
    assert (images > 0).all()  # the batch itself is left alone
    blank = (got == 0).flatten(2)
    assert (blank[:, :1] == blank).all()  # in all channels alike
    sizes = blank[:, 0].sum(1)
    assert sizes.min() >= 1
    assert sizes.max() == min(pixels, 7) * min(pixels, 5)


@pytest.mark.parametrize(
    ("centre", "pixels", "blank"),
    [
        ((2, 2), 2, [(1, 1), (1, 2), (2, 1), (2, 2)]),
        ((0, 0), 2, [(0, 0)]),
        ((0, 3), 2, [(0, 2), (0, 3)]),
        ((3, 3), 2, [(2, 2), (2, 3), (3, 2), (3, 3)]),
        ((3, 0), 3, [(2, 0), (2, 1), (3, 0), (3, 1)]),
        ((1, 2), 1, [(1, 2)]),
    ],
)
def test_cutout_at_the_border(
    monkeypatch: pytest.MonkeyPatch,
    centre: tuple[int, int],
    pixels: int,
    blank: list[tuple[int, int]],
) -> None:
    draws = iter(centre)
    monkeypatch.setattr(torch, "randint", lambda low, high, size: torch.tensor([next(draws)]))
    got = cutout(torch.ones(1, 1, 4, 4), pixels)
    assert (got[0, 0] == 0).nonzero().tolist() == [list(position) for position in blank]


def test_every_pixel_is_a_centre() -> None:
    got = cutout(torch.ones(2000, 1, 5, 4), 1)
    assert set(got.flatten(1).argmin(1).tolist()) == set(range(20))


def test_no_cutout_draws_nothing() -> None:
    images, before = torch.rand(3, 1, 4, 4), torch.get_rng_state()
    assert cutout(images, 0) is images
    assert torch.equal(torch.get_rng_state(), before)


def test_normalise_is_torchvisions() -> None:
    images = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8)
    mean, std = _moments("cifar10")
    expected = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])(images)
    torch.testing.assert_close(normalise(images, mean, std), expected)


def test_digits_are_never_mirrored_and_the_others_are() -> None:
    flips = {name: getattr(entry.transform, "flip", True) for name, entry in DATA_SETS.items()}
    assert [name for name, flip in flips.items() if not flip] == ["digits"]


def test_image_size_resizes() -> None:
    data = ready("digits", image_size=16)
    assert data.image_size == 16
    native = next(iter(ready("digits").val_dataloader()))[0]
    large = next(iter(data.val_dataloader()))[0]
    assert large.shape == (64, 1, 16, 16)
    expected = v2.functional.resize(native, [16, 16])
    torch.testing.assert_close(large, expected)


# --- The loading code of torchvision, on small files with the sums to match. ---


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


# --- A folder of the user's. ---


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


def test_image_folder_crops(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            pixels = random.randint(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    data = ready("image_folder", root=tmp_path, batch_size=2)
    images, _ = next(iter(data.val_dataloader()))
    path = halves(data)[1][0]
    small = v2.functional.resize(Image.open(path), [round(32 * 256 / 224)])
    central = v2.functional.pil_to_tensor(v2.functional.center_crop(small, [32, 32]))
    torch.testing.assert_close(images[:1], normalise(central[None], *_moments("image_folder")))

    def augmented() -> Tensor:
        torch.manual_seed(5)
        return next(iter(data.alpha_dataloader()))[0]

    assert torch.equal(augmented(), augmented())
    assert not rows(augmented()) & rows(images)


def test_image_folder_with_workers(tmp_path: Path) -> None:
    root = _folder(tmp_path, {"cat": 4, "dog": 4})
    data = ready("image_folder", root=root, batch_size=2, num_workers=1)
    assert [len(labels) for _, labels in data.train_dataloader()] == [2, 2]


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


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_image_folder_with_a_broken_image(tmp_path: Path, content: bytes) -> None:
    _folder(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "dog" / "1.png").write_bytes(content)
    check("image_folder", tmp_path)  # it does not read images
    with pytest.raises(ValueError, match=r"cannot read the image .*dog/1.png"):
        BilevelData("image_folder", root=tmp_path).prepare_data()


def test_an_image_that_breaks_during_a_training_is_a_files_fault(tmp_path: Path) -> None:
    data = ready("image_folder", root=_folder(tmp_path, {"cat": 3, "dog": 3}), batch_size=2)
    for path in halves(data)[0]:
        Path(path).write_bytes(b"")
    # Not the run's: no attempt at it is used up.
    with pytest.raises(OSError, match="cannot read the image"):
        next(iter(data.train_dataloader()))


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


def test_images_of_16_bits_keep_their_shades(tmp_path: Path) -> None:
    shades = (np.arange(32, dtype=np.uint16) * 2114)[None].repeat(32, 0)  # to 65534, black to white
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(shades).save(tmp_path / name / "0.png")
        Image.fromarray(shades.astype(np.int32)).save(tmp_path / name / "1.tif")
        Image.fromarray(np.rint(shades / 257).astype(np.uint8)).save(tmp_path / name / "2.png")
    for path in (tmp_path / "a").iterdir():
        image = read_image(str(path))
        assert image.mode == "RGB"
        for channel in range(3):
            assert np.array_equal(np.asarray(image)[..., channel], np.rint(shades / 257))
    assert len(np.unique(np.asarray(image))) == 32


def _png_of_16_bits(path: Path, colour: int, pixels: np.ndarray) -> None:
    """By hand, as Pillow writes none but grey ones: (H, W, C), of a colour type of PNG."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def test_other_images_of_16_bits_keep_their_shades_too(tmp_path: Path) -> None:
    shades = (np.arange(16, dtype=np.uint16) * 4369)[None].repeat(2, 0)
    opaque = np.full_like(shades, 65535)
    for name, colour, channels in (
        ("grey", 0, [shades]),
        ("rgb", 2, [shades] * 3),
        ("grey and alpha", 4, [shades, opaque]),
        ("rgb and alpha", 6, [*[shades] * 3, opaque]),
    ):
        _png_of_16_bits(tmp_path / f"{name}.png", colour, np.stack(channels, -1))
    big_endian = shades.astype(">u2").tobytes()
    Image.frombytes("I;16B", (16, 2), big_endian).save(tmp_path / "big endian.tif")
    (tmp_path / "a.pgm").write_bytes(b"P5 16 2 65535\n" + big_endian)
    for path in tmp_path.iterdir():
        found = np.asarray(read_image(str(path)))
        assert np.array_equal(found, (shades // 257)[..., None].repeat(3, -1)), path.name


def test_palettes_and_inks_are_colours(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), (200, 30, 90))
    image.quantize(4).save(tmp_path / "a.png", transparency=bytes([128] * 4))
    image.convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    image.convert("CMYK").save(tmp_path / "a.tif")
    for path in tmp_path.iterdir():
        found = np.asarray(read_image(str(path))).astype(int)
        assert np.abs(found - [200, 30, 90]).max() <= 2, path.name


@pytest.mark.parametrize(
    ("pixels", "why"),
    [(np.full((8, 8), 1e5, np.int32), "beyond 16 bits"), (np.ones((8, 8), np.float32), "floating")],
)
def test_images_of_no_known_range(tmp_path: Path, pixels: np.ndarray, why: str) -> None:
    _folder(tmp_path, {"cat": 3, "dog": 3})
    Image.fromarray(pixels).save(tmp_path / "dog" / "deep.tif")
    with pytest.raises(ValueError, match=rf"cannot read the image .*deep.tif \(.*{why}"):
        BilevelData("image_folder", root=tmp_path).prepare_data()


# --- Other mistakes. ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cifar"}, "unknown data set 'cifar'; did you mean 'cifar10'"),
        ({"name": "digits", "root": "somewhere"}, "leave root out, got root=somewhere"),
        ({"name": "digits", "batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"name": "digits", "batch_size": 1.5}, "batch_size .*, got 1.5"),
        ({"name": "digits", "batch_size": True}, "batch_size .*, got True"),
        ({"name": "digits", "seed": -1}, "seed must be .* from 0 to 4294967295, got -1"),
        ({"name": "digits", "seed": 2**32}, "seed .*, got 4294967296"),
        ({"name": "digits", "num_workers": -1}, "num_workers .* at least 0, got -1"),
        ({"name": "digits", "image_size": 3}, "image_size .* at least 4, got 3"),
        ({"name": "digits", "image_size": math.nan}, "image_size .*, got nan"),
    ],
)
def test_bad_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BilevelData(**options)  # type: ignore[arg-type]


def test_check_names() -> None:
    check("digits")
    check("cifar10")
    with pytest.raises(ValueError, match=r"unknown data set 'digit'; did you mean 'digits'"):
        check("digit")


def test_a_batch_must_fit_into_a_half() -> None:
    ready("digits", batch_size=718)
    with pytest.raises(ValueError, match="at most 718, the smaller half of the 1437 training"):
        ready("digits", batch_size=719)


# --- Lightning. ---


class Linear(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)
        self.seen = [0, 0]

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        self.seen[0] += len(batch[1])
        return torch.nn.functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.seen[1] += len(batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore")
def test_lightning_takes_it() -> None:
    model = Linear()
    Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    ).fit(model, datamodule=BilevelData("digits"))
    assert model.seen == [11 * 64, 719]


def test_missing_data_is_a_mistake_of_the_users() -> None:
    assert issubclass(MissingDataError, ValueError)


# --- On a GPU. ---


class OnAGpu:
    """A trainer as far as a data module asks it."""

    world_size, global_rank, current_epoch = 1, 0, 0

    def __init__(self, device: str) -> None:
        self.strategy = SimpleNamespace(root_device=torch.device(device))


def test_images_in_memory_are_moved_once_to_the_device_that_is_trained_on() -> None:
    data = ready("digits", on_device=True)
    before = halves(data)[1]
    assert before.device.type == "cpu"  # no trainer, no device
    data.trainer = OnAGpu("meta")  # type: ignore[assignment]
    moved = data.alpha_dataloader().dataset  # type: ignore[union-attr]
    assert moved.items.device.type == moved.labels.device.type == "meta"
    assert data.val_dataloader().dataset.items is moved.items  # type: ignore[union-attr]


def test_without_on_device_nothing_is_moved() -> None:
    data = ready("digits")
    data.trainer = OnAGpu("cuda:0")  # type: ignore[assignment]
    loader = data.train_dataloader()
    assert loader.dataset.items.device.type == "cpu"  # type: ignore[union-attr]
    assert not loader.pin_memory  # type: ignore[union-attr]


def test_images_of_a_folder_come_from_pinned_memory(tmp_path: Path) -> None:
    _folder(tmp_path, {"cat": 4, "dog": 4})
    data = ready("image_folder", root=tmp_path, on_device=True, num_workers=2, batch_size=2)
    data.trainer = OnAGpu("cuda:0")  # type: ignore[assignment]
    for batches in (data.train_dataloader(), data.val_dataloader()):
        assert isinstance(batches, DeviceBatches)
        assert batches.device == torch.device("cuda", 0)
        assert batches.loader.pin_memory
        assert batches.loader.num_workers == 2


def test_on_device_the_batches_on_the_cpu_are_as_ever() -> None:
    def epoch(**options: object) -> list[Tensor]:
        torch.manual_seed(0)
        data = ready("digits", **options)
        data.trainer = OnAGpu("cpu")  # type: ignore[assignment]
        return [images for images, _ in data.train_dataloader()]

    for images, expected in zip(epoch(on_device=True), epoch(), strict=True):
        assert torch.equal(images, expected)


def test_workers_cannot_read_what_lies_on_the_device(message: Callable[..., str]) -> None:
    text = message(ValueError, BilevelData, "digits", on_device=True, num_workers=2)
    assert "num_workers must be 0, got 2" in text
