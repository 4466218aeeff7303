"""Augmentation: what it does to images, and that nothing waits for it on a GPU."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import _folder, _moments, halves, ready, rows
from PIL import Image
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import v2
from waiting import NoWaiting, Waits

from nni_darts.tasks.images.augmentation import (
    ReadAndCrop,
    _per_channel,
    cutout,
    normalise,
    random_flip,
    random_shift,
    read_image,
)
from nni_darts.tasks.images.batches import Images
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import DATA_SETS

IN_MEMORY = [n for n, d in DATA_SETS.items() if not isinstance(d.transform, ReadAndCrop)]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A GPU that computes nothing, but knows what lies on it."""
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    _per_channel.cache_clear()
    with FakeTensorMode():
        yield torch.device("cuda", 0)
    _per_channel.cache_clear()


def images_of(name: str, device: torch.device, count: int = 6) -> Tensor:
    data = DATA_SETS[name]
    shape = (count, data.in_channels, data.image_size, data.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device)


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("size", [None, 16])
@pytest.mark.parametrize("name", IN_MEMORY)
def test_a_batch_is_made_on_the_gpu_and_nothing_waits(
    name: str, size: int | None, augmented: bool, gpu: torch.device
) -> None:
    data = DATA_SETS[name]
    size = size or data.image_size

    def transform(items: Tensor) -> Tensor:
        return cutout(data.transform(items, image_size=size, augmented=augmented), 4)

    items, labels = images_of(name, gpu), torch.zeros(6, dtype=torch.int64, device=gpu)
    transform(items)  # the first time it copies the mean and the standard deviation
    with NoWaiting():
        x, y = Images(items, labels, transform).__getitems__([3, 1, 5, 0])
    assert x.device == y.device == gpu
    assert x.shape == (4, data.in_channels, size, size)


def test_the_guard_sees_a_draw_that_is_copied_in_the_plain_way(gpu: torch.device) -> None:
    images = images_of("cifar10", gpu)
    with NoWaiting():
        with pytest.raises(Waits, match="copies its indices"):
            images[torch.tensor([0])]
        with pytest.raises(Waits, match="from cpu to cuda"):
            torch.rand(6).to(gpu)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "augment", [lambda x: random_shift(x, 2), random_flip, lambda x: cutout(x, 3)]
)
def test_the_draws_are_those_of_the_cpu(augment: Callable[[Tensor], Tensor]) -> None:
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    torch.manual_seed(0)
    expected = augment(images)
    torch.manual_seed(0)
    assert torch.equal(augment(images.cuda()).cpu(), expected)


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


def test_image_size_resizes() -> None:
    data = ready("digits", image_size=16)
    assert data.image_size == 16
    native = next(iter(ready("digits").val_dataloader()))[0]
    large = next(iter(data.val_dataloader()))[0]
    assert large.shape == (64, 1, 16, 16)
    expected = v2.functional.resize(native, [16, 16])
    torch.testing.assert_close(large, expected)


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


def test_an_image_that_breaks_during_a_training_is_a_files_fault(tmp_path: Path) -> None:
    data = ready("image_folder", root=_folder(tmp_path, {"cat": 3, "dog": 3}), batch_size=2)
    for path in halves(data)[0]:
        Path(path).write_bytes(b"")
    # Not the run's: no attempt at it is used up.
    with pytest.raises(OSError, match="cannot read the image"):
        next(iter(data.train_dataloader()))


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
