"""The data of a training from scratch: its parts, its test images, and epochs that repeat."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from image_sets import _cifar, _fashion_mnist, _folder, _moments, rows
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import RandomSampler, SequentialSampler

from nni_darts.tasks.images.augmentation import normalise
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import check, check_test
from nni_darts.tasks.images.sources import Digits
from nni_darts.tasks.images.training_data import TrainingData
from nni_darts.tasks.missing_data import MissingDataError


def ready(name: str, *stages: str, **options: Any) -> TrainingData:
    data = TrainingData(name, **options)
    data.prepare_data()
    for stage in stages or ("fit",):
        data.setup(stage)
    return data


def kept(loader: Any) -> Any:
    """The items of a loader as they are kept."""
    return loader.dataset.items


def digests(batches: Iterable[tuple[Tensor, Tensor]]) -> list[str]:
    return [
        hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
        for images, labels in batches
    ]


def at_epoch(data: TrainingData, epoch: int, *, world: int = 1, rank: int = 0) -> TrainingData:
    """As if a trainer had it."""
    data.trainer = SimpleNamespace(current_epoch=epoch, world_size=world, global_rank=rank)  # type: ignore[assignment]
    return data


# --- The parts. ---


def test_digits_batches() -> None:
    data = ready("digits", "fit", "test")
    assert (data.num_classes, data.in_channels, data.image_size) == (10, 1, 8)
    assert (data.mean, data.std) == _moments("digits")
    train = list(data.train_dataloader())
    assert len(train) == len(data.train_dataloader()) == 13  # of 1293 images, 96 each
    assert {images.shape for images, _ in train} == {(96, 1, 8, 8)}
    assert {(images.dtype, labels.dtype) for images, labels in train} == {
        (torch.float32, torch.int64)
    }
    assert [len(labels) for _, labels in data.val_dataloader()] == [96, 48]
    assert [len(labels) for _, labels in data.test_dataloader()] == [96, 96, 96, 72]


def test_the_test_images_are_in_neither_part() -> None:
    data = ready("digits", "fit", "test")
    train, val, test = (
        rows(kept(loader))
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    )
    assert (len(train), len(val), len(test)) == (1293, 144, 360)
    assert not train & val
    assert not (train | val) & test
    raw = load_digits()
    pixels = torch.from_numpy(np.rint(raw.images * 255 / 16).astype(np.uint8))
    train_positions, test_positions = Digits(None).parts(raw.target)
    assert train | val == rows(pixels[train_positions])
    assert test == rows(pixels[test_positions])
    labels = torch.cat([labels for _, labels in data.test_dataloader()])
    assert labels.tolist() == raw.target[test_positions].tolist()


def test_half_for_validation_is_the_split_of_the_search() -> None:
    for seed in (0, 5):
        search = BilevelData("digits", seed=seed)
        search.setup("fit")
        data = ready("digits", val_share=0.5, seed=seed)
        for mine, theirs in (
            (data.train_dataloader(), search.train_dataloader()),
            (data.val_dataloader(), search.val_dataloader()),
        ):
            assert torch.equal(kept(mine), kept(theirs))
            assert torch.equal(mine.dataset.labels, theirs.dataset.labels)  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.7, 0.9])
def test_every_class_validates_by_its_share(share: float) -> None:
    data = ready("digits", val_share=share, batch_size=32)
    train, val = (
        torch.bincount(loader.dataset.labels)  # type: ignore[union-attr]
        for loader in (data.train_dataloader(), data.val_dataloader())
    )
    assert ((train + val) * share - val).abs().max() <= 1
    assert abs(1437 * share - val.sum()) <= 1


def test_the_split_hangs_on_its_seed_and_not_on_the_runs() -> None:
    def val(**options: int) -> set[bytes]:
        return rows(kept(ready("digits", **options).val_dataloader()))

    assert val(seed=1) == val(seed=1, run_seed=3, batch_size=7)
    assert val(seed=1) != val(seed=2)


def test_no_validation() -> None:
    data = ready("digits", val_share=0)
    assert data.val_dataloader() == []
    assert len(rows(kept(data.train_dataloader()))) == 1437
    assert len(data.train_dataloader()) == 14


def test_setup_twice_does_nothing() -> None:
    data = ready("digits", "fit", "test")
    loaders = (data.train_dataloader, data.test_dataloader)
    before = [kept(loader()).data_ptr() for loader in loaders]
    data.prepare_data()
    for stage in ("fit", "test"):
        data.setup(stage)
    assert [kept(loader()).data_ptr() for loader in loaders] == before


@pytest.mark.parametrize("stage", ["fit", "validate", None])
def test_only_a_test_loads_the_test_images(
    monkeypatch: pytest.MonkeyPatch, stage: str | None
) -> None:
    loaded: list[bool] = []
    original = Digits.load_test

    def spy(self: Digits) -> Any:
        loaded.append(True)
        return original(self)

    monkeypatch.setattr(Digits, "load_test", spy)
    data = TrainingData("digits")
    data.prepare_data()
    data.setup(stage)
    assert list(data.train_dataloader())
    assert list(data.val_dataloader())
    with pytest.raises(RuntimeError, match=r"call prepare_data\(\) and setup\('test'\) first"):
        data.test_dataloader()
    assert not loaded
    data.setup("test")
    assert loaded


def test_a_test_loads_no_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Digits, "load")
    data = ready("digits", "test")
    assert len(list(data.test_dataloader())) == 4
    with pytest.raises(RuntimeError, match="not loaded yet"):
        data.train_dataloader()
    with pytest.raises(RuntimeError, match="not loaded yet"):
        data.val_dataloader()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_share": 1}, "val_share must be a number of at least 0 and below 1, got 1"),
        ({"val_share": -0.1}, "val_share .*, got -0.1"),
        ({"val_share": math.nan}, "val_share .*, got nan"),
        ({"val_share": True}, "val_share .*, got True"),
        ({"val_share": "0.1"}, "val_share .*, got '0.1'"),
        ({"cutout": -1}, "cutout must be a whole number from 0 to 8, got -1"),
        ({"cutout": 9}, "cutout must be a whole number from 0 to 8, got 9"),
        ({"cutout": 1.0}, "cutout .*, got 1.0"),
        ({"run_seed": -1}, "run_seed must be .* from 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "seed .*, got 4294967296"),
        ({"batch_size": 0}, "batch_size .* at least 1, got 0"),
        ({"image_size": 3}, "image_size .* at least 4, got 3"),
        ({"num_workers": -1}, "num_workers .*, got -1"),
        ({"root": "somewhere"}, "leave root out, got root=somewhere"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingData("digits", **options)


def test_cutout_may_be_as_large_as_the_image() -> None:
    TrainingData("digits", cutout=8)
    TrainingData("digits", cutout=16, image_size=16)


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (
            0.001,
            "val_share 0.001 of the 1437 training images of digits leaves no image to validate on "
            "of 8 of the 10 classes; raise it, or 0 for no validation",
        ),
        (1e-9, "validate on of 9 of the 10 classes; raise it"),
        (0.999, "val_share 0.999 .* no image to train on of 9 of the 10 classes; lower it"),
    ],
)
def test_a_part_without_a_class(share: float, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ready("digits", val_share=share, batch_size=1)
    assert "\n" not in str(caught.value)


def test_a_batch_must_fit() -> None:
    ready("digits", batch_size=1293)
    with pytest.raises(
        ValueError, match=r"batch_size must be at most 1293: 1293 of the 1437 .* got 1294"
    ):
        ready("digits", batch_size=1294)
    ready("digits", batch_size=1437, val_share=0)
    data = at_epoch(TrainingData("digits", batch_size=324), 0, world=4)
    with pytest.raises(ValueError, match=r"batch_size must be at most 323: .* by 4 process"):
        data.setup("fit")


# --- What is augmented. ---


def test_what_is_measured_on_is_plain_and_in_order() -> None:
    data = ready("digits", "fit", "test", cutout=4)
    for make in (data.val_dataloader, data.test_dataloader):
        loader = make()
        plain = torch.cat([images for images, _ in loader])
        torch.testing.assert_close(plain, normalise(kept(loader), data.mean, data.std))
        assert digests(loader) == digests(make())
        assert isinstance(loader.sampler, SequentialSampler)  # type: ignore[union-attr]


def test_cutout_is_on_top_of_the_augmentation() -> None:
    # The first batch is shifted before anything is cut out. An exact 0 is: no digit has the mean.
    whole, _ = next(iter(ready("digits", batch_size=1293).train_dataloader()))
    images, _ = next(iter(ready("digits", batch_size=1293, cutout=4).train_dataloader()))
    kept_as_it_is = images != 0
    assert (whole != 0).all()
    assert torch.equal(images[kept_as_it_is], whole[kept_as_it_is])
    blank = (~kept_as_it_is).flatten(1).sum(1)
    assert blank.min() == 4  # a corner: 2 x 2 of the square are within
    assert blank.max() == 16


def test_cutout_is_in_the_pixels_that_the_network_sees() -> None:
    data = ready("digits", cutout=4, image_size=32)
    images = torch.cat([images for images, _ in data.train_dataloader()])
    assert (images == 0).flatten(1).sum(1).max() == 16


# --- Epochs that repeat. ---


def test_an_epoch_hangs_on_its_number_and_the_run_alone() -> None:
    def epoch(number: int, **options: int) -> list[str]:
        torch.rand(number + 3)  # whatever was drawn before
        return digests(at_epoch(ready("digits", cutout=2, **options), number).train_dataloader())

    runs = {(run, n): epoch(n, run_seed=run) for run in (0, 1) for n in (0, 1)}
    assert runs == {(run, n): epoch(n, run_seed=run) for run in (0, 1) for n in (0, 1)}
    assert len({digest for run in runs.values() for digest in run}) == 4 * 13
    # The seed of the split is another: it changes what is trained on, not what is drawn.
    assert epoch(0, run_seed=0, seed=1) != runs[0, 0]


def test_run_1_does_not_begin_with_the_second_epoch_of_run_0() -> None:
    def order(run_seed: int, epoch: int) -> list[int]:
        loader = at_epoch(ready("digits", run_seed=run_seed), epoch).train_dataloader()
        next(iter(loader))
        return list(loader.sampler)

    assert order(0, 1) == order(0, 1)
    assert order(1, 0) != order(0, 1)


def test_the_order_and_the_augmentation_are_drawn_apart() -> None:
    loader = ready("digits").train_dataloader()
    next(iter(loader))
    assert loader.sampler.seed != torch.initial_seed()  # type: ignore[attr-defined]


def test_the_network_draws_the_same_too() -> None:
    def draws(epoch: int) -> list[float]:
        data = at_epoch(ready("digits"), epoch)
        return [torch.rand(()).item() for _ in data.train_dataloader()]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_every_epoch_has_an_order_of_its_own() -> None:
    data = TrainingData("digits", val_share=0)
    data.setup("fit")
    orders = []
    for epoch in (0, 1):
        loader = data.train_dataloader()
        loader._epoch = lambda epoch=epoch: epoch  # type: ignore[misc]
        orders.append(torch.cat([labels for _, labels in loader]).tolist())
    assert orders[0] != orders[1]


def test_without_a_trainer_it_is_always_epoch_0() -> None:
    data = ready("digits")
    loader = data.train_dataloader()
    first = digests(loader)
    assert digests(loader) == first == digests(at_epoch(data, 0).train_dataloader())
    assert digests(at_epoch(data, 1).train_dataloader()) != first


def test_every_image_once_an_epoch() -> None:
    data = ready("digits", batch_size=1293)
    [(_, labels)] = data.train_dataloader()
    assert torch.equal(labels.bincount(), data.train_dataloader().dataset.labels.bincount())  # type: ignore[attr-defined]
    # Shuffled: not the order that the images are kept in.
    assert not torch.equal(labels, data.train_dataloader().dataset.labels)  # type: ignore[attr-defined]


def test_workers_repeat_an_epoch(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(6):
            pixels = random.randint(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")

    def epoch(number: int, run_seed: int = 0) -> list[str]:
        torch.rand(number + 3)
        data = ready(
            "image_folder",
            root=tmp_path,
            batch_size=4,
            val_share=0.25,
            num_workers=2,
            run_seed=run_seed,
            cutout=3,
        )
        return digests(at_epoch(data, number).train_dataloader())

    first = epoch(0)
    assert len(first) == 2
    assert epoch(0) == first
    assert not set(first) & {*epoch(1), *epoch(0, run_seed=1)}


# --- Several processes. ---


def test_processes_share_what_is_trained_on() -> None:
    def share(rank: int, world: int) -> tuple[list[Tensor], Tensor, int]:
        data = at_epoch(ready("digits", batch_size=64), 2, world=world, rank=rank)
        loader = data.train_dataloader()
        state = [images for images, _ in loader]
        positions = list(loader.sampler)
        return state, torch.tensor(positions), len(loader)

    one = share(0, 1)[1]
    batches, positions, lengths = zip(*(share(rank, 3) for rank in range(3)), strict=True)
    assert lengths == (6, 6, 6)  # of 431 each
    assert torch.equal(torch.stack(positions).T.flatten(), one[: 3 * 431])
    assert len(torch.cat(positions).unique()) == 3 * 431
    assert len({digest for rank in batches for digest in digests((b, b) for b in rank)}) == 18


def test_processes_draw_apart() -> None:
    def draw(rank: int) -> float:
        data = at_epoch(ready("digits"), 0, world=2, rank=rank)
        next(iter(data.train_dataloader()))
        return torch.rand(()).item()

    assert draw(0) != draw(1)


def test_processes_measure_every_image_once() -> None:
    data = ready("digits", "fit", "test")
    for name, count in (("val_dataloader", 144), ("test_dataloader", 360)):
        at_epoch(data, 0)
        every = torch.cat([images for images, _ in getattr(data, name)()])
        shares = []
        for rank in range(7):
            at_epoch(data, 0, world=7, rank=rank)
            shares.append(torch.cat([images for images, _ in getattr(data, name)()]))
            assert torch.equal(shares[-1], every[rank::7])
        assert sum(map(len, shares)) == count


# --- Lightning. ---


class Recorder(LightningModule):
    """What each training batch was, with a draw as a network would make one, by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)
        self.trained: dict[int, list[tuple[str, float]]] = {}
        self.validated = 0
        self.tested = 0

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        [digest] = digests([batch])
        seen = self.trained.setdefault(self.current_epoch, [])
        seen.append((digest, torch.rand(()).item()))
        return torch.nn.functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.validated += len(batch[1])

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.tested += len(batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(*callbacks: Callback, max_epochs: int = 3) -> Trainer:
    return Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("val_share", "after_training"), [(0, True), (0.1, True), (0.1, False)])
def test_a_resumed_training_sees_the_same_batches(
    tmp_path: Path, val_share: float, after_training: bool
) -> None:
    options: dict[str, Any] = {"val_share": val_share, "cutout": 3, "run_seed": 4}
    checkpoints = ModelCheckpoint(
        tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=after_training
    )
    whole = Recorder()
    trainer(checkpoints).fit(whole, datamodule=TrainingData("digits", **options))
    assert [len(batches) for batches in whole.trained.values()] == [13 + (val_share == 0)] * 3
    assert len({batch for batches in whole.trained.values() for batch in batches}) == 3 * len(
        whole.trained[0]
    )

    for epoch in (0, 1):
        torch.manual_seed(99)
        resumed = Recorder()
        trainer().fit(
            resumed,
            datamodule=TrainingData("digits", **options),
            ckpt_path=str(tmp_path / f"epoch={epoch}.ckpt"),
        )
        assert resumed.trained == {n: whole.trained[n] for n in range(epoch + 1, 3)}
        assert torch.equal(resumed.layer.weight, whole.layer.weight)


@pytest.mark.filterwarnings("ignore")
def test_what_hooks_draw_does_not_matter() -> None:
    class Draws(Callback):
        def on_train_start(self, *_: object) -> None:
            torch.rand(5)

        def on_train_epoch_start(self, *_: object) -> None:
            torch.rand(7)

    plain, disturbed = Recorder(), Recorder()
    trainer(max_epochs=2).fit(plain, datamodule=TrainingData("digits"))
    with_draws = trainer(Draws(), max_epochs=2)
    with_draws.fit(disturbed, datamodule=TrainingData("digits"))
    assert plain.trained == disturbed.trained


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("val_share", "validated"), [(0, 0), (0.1, 144)])
def test_lightning_takes_it(val_share: float, validated: int) -> None:
    model, data = Recorder(), TrainingData("digits", val_share=val_share)
    run = trainer(max_epochs=1)
    run.fit(model, datamodule=data)
    with pytest.raises(RuntimeError):
        data.test_dataloader()
    assert model.validated - 96 * bool(val_share) in (validated, validated + 48)  # and sanity
    run.test(model, datamodule=data, verbose=False)
    assert model.tested == 360


# --- The other data sets' test images. ---


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, classes: int) -> None:
    training = _cifar(tmp_path, monkeypatch, fine=classes == 100)
    data = ready(name, "fit", "test", root=tmp_path, batch_size=20, cutout=16)
    kind = torchvision.datasets.CIFAR100 if classes == 100 else torchvision.datasets.CIFAR10
    stored = pickle.loads((tmp_path / kind.base_folder / kind.test_list[0][0]).read_bytes())
    expected = torch.from_numpy(stored["data"]).view(-1, 3, 32, 32)
    assert torch.equal(kept(data.test_dataloader()), expected)
    [(images, labels)] = data.test_dataloader()
    assert images.shape == (10, 3, 32, 32)
    assert labels.tolist() == list(range(10))
    parts = [rows(kept(loader)) for loader in (data.train_dataloader(), data.val_dataloader())]
    assert parts[0] | parts[1] == rows(training)
    assert [len(part) for part in parts] == [90, 10]
    assert not rows(expected) & rows(training)
    assert (data.mean, data.std) == _moments(name)


def test_a_fit_opens_no_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cifar(tmp_path, monkeypatch, fine=False)
    opened: list[bool] = []
    kind = torchvision.datasets.CIFAR10
    original = kind.__init__

    def spy(self: object, root: Path, train: bool = True, **options: object) -> None:
        opened.append(train)
        original(self, root, train=train, **options)

    monkeypatch.setattr(kind, "__init__", spy)
    data = ready("cifar10", root=tmp_path, batch_size=20)
    assert opened
    assert all(opened)
    data.setup("test")
    assert opened[-1] is False


def test_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fashion_mnist(tmp_path, monkeypatch)
    data = ready("fashion_mnist", "test", root=tmp_path)
    [(images, labels)] = data.test_dataloader()
    assert images.shape == (10, 1, 28, 28)
    assert labels.tolist() == list(range(10))


@pytest.mark.parametrize("part", ["test", "val"])
def test_image_folder(tmp_path: Path, part: str) -> None:
    classes = {"cat": 4, "dog": 4, "eel": 4}
    _folder(tmp_path / "train", classes)
    _folder(tmp_path / part, {"cat": 1, "dog": 3, "eel": 2})
    check_test("image_folder", tmp_path)
    data = ready("image_folder", "fit", "test", root=tmp_path, val_share=0.25, batch_size=9)
    assert data.num_classes == 3
    paths = kept(data.test_dataloader())
    assert [Path(path).relative_to(tmp_path / part).parts[0] for path in paths] == (
        ["cat"] + ["dog"] * 3 + ["eel"] * 2
    )
    [(images, labels)] = data.test_dataloader()
    assert labels.tolist() == [0, 1, 1, 1, 2, 2]
    levels = 40 * (labels + 1).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    torch.testing.assert_close(images, normalise(levels, data.mean, data.std))
    seen = {*kept(data.train_dataloader()), *kept(data.val_dataloader())}
    assert len(seen) == 12
    assert not seen & set(paths)


def test_image_folder_prefers_test_to_val(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        _folder(tmp_path / part, {"cat": 2, "dog": 2})
    data = ready("image_folder", "test", root=tmp_path)
    assert all(tmp_path / "test" in Path(path).parents for path in kept(data.test_dataloader()))


def test_image_folder_passes_over_a_test_part_without_labels(tmp_path: Path) -> None:
    _folder(tmp_path / "train", {"cat": 2, "dog": 2})
    _folder(tmp_path, {"test": 3})  # images, and no directories
    _folder(tmp_path / "val", {"cat": 2, "dog": 2})
    data = ready("image_folder", "test", root=tmp_path)
    assert all(tmp_path / "val" in Path(path).parents for path in kept(data.test_dataloader()))


def _refused(root: Path, kind: type[Exception], message: str) -> None:
    """A test is refused by the check and by the setup; a search and a fit are not."""
    check("image_folder", root)
    data = ready("image_folder", "fit", root=root, batch_size=1, val_share=0)
    for call in (lambda: check_test("image_folder", root), lambda: data.setup("test")):
        with pytest.raises(kind, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_image_folder_without_a_test_part(tmp_path: Path) -> None:
    _folder(tmp_path / "train", {"cat": 2, "dog": 2})
    _refused(
        tmp_path, MissingDataError, r"no directory with one per class in it at .*test or .*val"
    )


def test_image_folder_with_its_classes_in_root(tmp_path: Path) -> None:
    _folder(tmp_path, {"cat": 2, "dog": 2, "test": 2})
    _refused(
        tmp_path, ValueError, r"test images only beside .*train, .*'test' could be one of them"
    )


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"cat": 1, "dog": 1}, r"missing \['eel'\], foreign \[\];"),
        ({"cat": 1, "dog": 1, "eel": 1, "fox": 1}, r"missing \[\], foreign \['fox'\];"),
        ({"cat": 1, "dog": 1, "fox": 1}, r"missing \['eel'\], foreign \['fox'\];"),
        ({"cat": 1, "dog": 0, "eel": 1}, r"test.dog must have at least 1 image to test on"),
    ],
)
def test_image_folder_with_other_test_classes(
    tmp_path: Path, classes: dict[str, int], message: str
) -> None:
    _folder(tmp_path / "train", {"cat": 2, "dog": 2, "eel": 2})
    _folder(tmp_path / "test", classes)
    _refused(tmp_path, ValueError, message)


def test_a_search_is_shuffled_by_the_global_state_as_before() -> None:
    search = BilevelData("digits")
    search.setup("fit")
    assert type(search.train_dataloader().sampler) is RandomSampler
