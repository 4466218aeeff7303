from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_sets import _folder
from PIL import Image

from nni_darts.tasks.images import image_check
from nni_darts.tasks.images.augmentation import UnreadableImageError, read_image
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import check
from nni_darts.tasks.images.training_data import TrainingData

Message = Callable[..., str]
NOISE = np.random.RandomState(0).randint(0, 256, (64, 64, 3), dtype=np.uint8)


def jpeg(path: Path, size: int | None = None) -> Path:
    """An image; cut off after so many bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The images that were read."""
    paths: list[str] = []

    def read(path: str, *, only_look: bool) -> Image.Image:
        paths.append(path)
        return read_image(path, only_look=only_look)

    monkeypatch.setattr(image_check, "read_image", read)
    monkeypatch.setattr(image_check, "checked_folder", lambda: tmp_path / "seen")
    return paths


def test_a_jpeg_that_breaks_off_is_found_at_once(tmp_path: Path, message: Message) -> None:
    for name in ("cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "dog/1.jpg"):
        jpeg(tmp_path / name)
    broken = jpeg(tmp_path / "dog/1.jpg", 3000)
    for kind in (BilevelData, TrainingData):
        data = kind("image_folder", root=tmp_path)
        text = message(ValueError, data.prepare_data)
        assert text.startswith(f"cannot read the image {broken} (image file is truncated")


def test_whatever_breaks_off_is_found(tmp_path: Path) -> None:
    for name, options in (
        ("a.jpg", {"progressive": True}),
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.ppm", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.webp", {}),
    ):
        path = tmp_path / name
        Image.fromarray(NOISE).save(path, **options)
        image_check.require_readable([str(path)])
        content = path.read_bytes()
        for share in range(0, 10):
            path.write_bytes(content[: len(content) * share // 10])
            with pytest.raises(UnreadableImageError, match=f"cannot read the image {path}"):
                image_check.require_readable([str(path)])


def test_a_broken_test_image_is_found_before_a_training(tmp_path: Path, message: Message) -> None:
    for part in ("train", "val"):
        for name in ("cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "dog/1.jpg"):
            jpeg(tmp_path / part / name)
    broken = jpeg(tmp_path / "val/dog/0.jpg", 3000)
    text = message(ValueError, TrainingData("image_folder", root=tmp_path).prepare_data)
    assert str(broken) in text
    # A search has no test.
    BilevelData("image_folder", root=tmp_path).prepare_data()


def test_images_are_looked_at_once(tmp_path: Path, looked_at: list[str]) -> None:
    paths = [str(jpeg(tmp_path / f"{i}.jpg")) for i in range(4)]
    image_check.require_readable(paths)
    assert sorted(looked_at) == paths
    image_check.require_readable(paths)
    assert len(looked_at) == 4
    # Another time, another size or another set of images are another thing.
    os.utime(paths[0], (1, 1))
    image_check.require_readable(paths)
    assert len(looked_at) == 8
    image_check.require_readable(paths[1:])
    assert len(looked_at) == 11


def test_what_is_broken_is_not_noted(
    tmp_path: Path, looked_at: list[str], message: Message
) -> None:
    paths = [str(jpeg(tmp_path / f"{i}.jpg", 3000)) for i in range(8)]
    for _ in range(2):
        text = message(ValueError, image_check.require_readable, paths)
        assert text.startswith(f"cannot read 8 images: {paths[0]} (")
        assert text.endswith(", and 3 more; mend them or take them out")
    assert len(looked_at) == 16


def test_what_is_no_file(tmp_path: Path, message: Message) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")  # it would wait for a writer
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    paths = [str(tmp_path / name) for name in ("link.jpg", "pipe.jpg")]
    text = message(ValueError, image_check.require_readable, paths)
    assert text.count("(there is no regular file)") == 2


def test_where_nothing_can_be_noted(
    tmp_path: Path, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(image_check, "checked_folder", lambda: tmp_path / "file" / "seen")
    for _ in range(2):
        image_check.require_readable([str(jpeg(tmp_path / "a.jpg"))])
    assert len(looked_at) == 2


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_image_folder_with_a_broken_image(tmp_path: Path, content: bytes) -> None:
    _folder(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "dog" / "1.png").write_bytes(content)
    check("image_folder", tmp_path)  # it does not read images
    with pytest.raises(ValueError, match=r"cannot read the image .*dog/1.png"):
        BilevelData("image_folder", root=tmp_path).prepare_data()
