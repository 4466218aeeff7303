"""Data of a search: its halves, their batches and every mistake."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from image_sets import _folder, _moments, halves, ready, rows
from pytorch_lightning import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch import Tensor

from nni_darts.tasks.images.augmentation import normalise
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.device_batches import DeviceBatches
from nni_darts.tasks.images.sources import Digits

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


# --- A folder of the user's. ---


def test_image_folder_with_workers(tmp_path: Path) -> None:
    root = _folder(tmp_path, {"cat": 4, "dog": 4})
    data = ready("image_folder", root=root, batch_size=2, num_workers=1)
    assert [len(labels) for _, labels in data.train_dataloader()] == [2, 2]


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
