"""Train a genotype from scratch, and test a trained network."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import nn
from torchmetrics.classification import MulticlassAccuracy

from nni_darts import checkpoint, counting, resolve
from nni_darts.config import Component, SettingsError, Training
from nni_darts.device import free_devices
from nni_darts.files import unwritable
from nni_darts.genotype import Genotype
from nni_darts.reporting import Report, Reporter
from nni_darts.trainer_options import LAST, go_on
from nni_darts.training import BEST, TrainingRecipe, trainer
from search_spaces.darts_network import DartsNetwork

DEVICES = "NNI_DARTS_DEVICES"
"""Tells the processes of one training which GPUs the first of them holds."""


_AUXILIARY = (
    "; the auxiliary head is made for 32x32 (ImageNet's stem: 224x224): auxiliary_weight 0 is none"
)


@dataclass(frozen=True)
class Job:
    """A training: what, how, with which seed, and where its checkpoints go."""

    genotype: Genotype
    settings: Training
    data: Component
    seed: int
    output: Path
    key: str
    """What its reports echo (`nni_darts.protocol.key`)."""

    @property
    def text(self) -> str:
        """JSON: all that decides what comes out of it."""
        how = self.settings.model_dump(mode="json", exclude={"cpu_threads"})
        what = {"genotype": json.loads(self.genotype.to_json()), "seed": self.seed}
        return json.dumps({**what, "data": self.data.model_dump(mode="json"), "settings": how})


class _ReportEpoch(pl.Callback):
    """Hands every epoch to the reporter, before the checkpoint of the epoch is written."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._learning_rate = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._learning_rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics: Report = {name: float(v) for name, v in trainer.callback_metrics.items()}
        drop_path = cast(DartsNetwork, pl_module.network).drop_path
        metrics |= {"learning_rate": self._learning_rate, "drop_path": drop_path}
        metric = metrics.pop("val_acc", metrics["train_acc"])
        self.reporter.epoch(trainer.current_epoch, metric, dict(sorted(metrics.items())))


def train(
    job: Job, send: Callable[[Any], None], *, compared: bool = False, tested: bool = False
) -> dict[str, Any]:
    """Train; goes on from the last checkpoint in the output folder if there is one.

    Args:
        job: what to train.
        send: takes each epoch's report.
        compared: whether its validation accuracy is to be compared with others': there must be one.
        tested: whether the weights are tested in the end: of the epoch that is best on the
            validation data, of the last one where there is none.

    Returns:
        The result, flat; `default` is the accuracy on the validation data, without any that on
        the test data or, not tested, on the training data. Of several processes that train
        together all but the first end here.

    Raises:
        SettingsError: before anything is trained.
        CheckpointError: the checkpoint in the output folder is damaged.
        DivergedError: a loss is not finite.
    """
    started = time.time()
    settings, output = job.settings, job.output
    data, network = prepare(job)
    validates = resolve.validates(data)
    if compared and not validates:
        raise SettingsError([f"data: {job.data.name} has no validation data to compare on"])
    if tested:
        resolve.require_test(job.data, data)
    if fit := go_on(output):
        _require_same(job.text, checkpoint.read(output / LAST).training, output)
        if not (output / "history.csv").exists():
            raise SettingsError([f"{output} has lost its history.csv; choose another directory"])
    output.mkdir(parents=True, exist_ok=True)
    reporter = Reporter(send, output, job.key, job.seed, settings.epochs)
    recipe = TrainingRecipe(
        network, settings, checkpoint.describe(network, resolve.input_of(data), job.text)
    )
    with _devices(settings.devices) as (devices, is_first):
        if is_first:
            print(f"{job.key}: trained on {devices[0]}; results in {output}", flush=True)
        report: list[pl.Callback] = [_ReportEpoch(reporter)]
        made = trainer(settings, output, devices, validates, report, sys.stdout.isatty())
        made.fit(recipe, datamodule=data, **fit)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if not is_first:
            sys.exit(0)
        weights = output / (BEST if validates else LAST)
        found = test(checkpoint.load(weights), data, devices[0]) if tested else {}
    history = reporter.history.table()
    best = history.iloc[history["default"].argmax() if validates else -1]
    if validates:
        found = {"val_acc": float(best["default"]), "val_loss": float(best["val_loss"]), **found}
    return {
        "default": found.get("val_acc", found.get("test_acc", float(best["default"]))),
        **found,
        **count(network, resolve.image_size(data)),
        "best_epoch": int(best["epoch"]),
        "weights": str(weights),
        "device": str(devices[0]),
        "seconds": round(time.time() - started, 1),
    }


def prepare(job: Job, load: bool = True) -> tuple[Any, DartsNetwork]:
    """The data and the fresh network of a training; everything that can be checked is right.

    Args:
        job: the training.
        load: download and load the data too; without, only what is cheap is looked at.

    Raises:
        SettingsError: with a line per mistake.
    """
    settings = job.settings
    if settings.cpu_threads is not None:
        torch.set_num_threads(settings.cpu_threads)
    if (reason := unwritable(job.output)) is not None:
        raise SettingsError([f"the output directory: {reason}"])
    data = resolve.training_data(job.data, settings, job.seed, load)
    # After the data, so that the weights do not hang on how it is loaded.
    pl.seed_everything(job.seed, workers=True, verbose=False)
    try:
        network = DartsNetwork(
            job.genotype,
            channels=settings.channels,
            num_cells=settings.num_cells,
            num_classes=data.num_classes,
            auxiliary=settings.auxiliary_weight > 0,
            stem=settings.stem,
            in_channels=data.in_channels,
        )
        if (size := resolve.image_size(data)) is not None:
            counting.require_fit(network, size, data.in_channels)
    except ValueError as error:
        hint = "" if settings.auxiliary_weight == 0 else _AUXILIARY
        raise SettingsError([f"{error}{hint}"]) from None
    return data, network


def count(network: DartsNetwork, image_size: int | None) -> dict[str, int]:
    """Parameters and, where the size of the images is known, multiply-adds; no auxiliary head."""
    with torch.device("meta"):
        bare = DartsNetwork(network.genotype, **{**network.arguments, "auxiliary": False})
    counts = {"params": counting.parameters(bare)}
    if image_size is not None:
        channels = network.arguments["in_channels"]
        counts["multiply_adds"] = counting.multiply_adds(bare, image_size, channels)
    return counts


def _require_same(ours: str, theirs: str, output: Path) -> None:
    """SettingsError where the checkpoint in the output folder is of another training."""
    old, new = json.loads(theirs), json.loads(ours)
    flat_old, flat_new = ({**t.pop("settings"), **t} for t in (old, new))
    if names := [name for name, value in flat_new.items() if flat_old.get(name) != value]:
        raise SettingsError(
            [
                f"{output} holds another training ({names[0]} is {flat_old.get(names[0])!r} there "
                f"and {flat_new[names[0]]!r} here); choose another output directory, or the same "
                "settings to go on with it"
            ]
        )


@contextmanager
def _devices(count: int) -> Iterator[tuple[list[torch.device], bool]]:
    """The devices, and whether this is the first of the processes that train together.

    Lightning starts the others with the first one's environment and arguments.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        yield [torch.device(name) for name in os.environ[DEVICES].split(",")], False
        return
    with free_devices(count) as devices:
        os.environ[DEVICES] = ",".join(map(str, devices))
        yield devices, True


def test(network: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
    """Accuracy in [0, 1] and mean cross entropy on the test data, each image once, in float32.

    This is the only place where test images are read.
    """
    data.prepare_data()
    data.setup("test")
    network = network.to(device).eval()
    accuracy = MulticlassAccuracy(data.num_classes, average="micro").to(device)
    total, count = 0.0, 0
    with torch.inference_mode():
        for x, y in data.test_dataloader():
            x, y = x.to(device), y.to(device)
            logits = network(x)
            accuracy.update(logits, y)
            total += float(nn.functional.cross_entropy(logits, y, reduction="sum"))
            count += len(y)
    return {"test_acc": float(accuracy.compute()), "test_loss": total / count}
