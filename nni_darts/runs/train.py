"""Train a genotype from scratch, and test a trained network."""

from __future__ import annotations

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

from nni_darts._common.metric import Metric
from nni_darts._common.validation import SettingsError, UnavailableError
from nni_darts.history.record import EpochRecord
from nni_darts.runs import build
from nni_darts.runs.identity import of_training
from nni_darts.runs.reporter import Reporter
from nni_darts.runs.trainer import trainer
from nni_darts.tasks.base import Architecture, Task
from nni_darts.tasks.components import Component
from nni_darts.tasks.settings import Training
from nni_darts.training.bounded import built
from nni_darts.training.devices import free_devices
from nni_darts.training.identity import Identity
from nni_darts.training.memory import advised_out_of_memory
from nni_darts.training.run_folder import BEST, LAST, RunFolder
from nni_darts.training.trainer_options import Signed, go_on

DEVICES = "NNI_DARTS_DEVICES"
"""Tells the processes of one training which GPUs the first of them holds."""


@dataclass(frozen=True)
class Job:
    """A training: what, how, with which seed, and where its checkpoints go."""

    genotype: Architecture
    settings: Training
    data: Component
    seed: int
    output: Path
    key: str
    """Key that its reports echo: the text of a `nni_darts.runs.run_key.RunKey`, or a name."""

    @property
    def folder(self) -> RunFolder:
        return RunFolder.at(self.output)

    @property
    def identity(self) -> Identity:
        """Identity that distinguishes it from every other training."""
        return of_training(self.key, self.genotype, self.settings, self.data, self.seed)


class _ReportEpoch(pl.Callback):
    """Hands every epoch to the reporter, before the checkpoint of the epoch is written."""

    def __init__(self, reporter: Reporter, metric: Metric) -> None:
        self.reporter = reporter
        self.metric = metric

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics |= cast(Any, pl_module).figures()
        epoch = trainer.current_epoch
        self.reporter.epoch(EpochRecord.of_training(epoch, self.metric, metrics))


def train(
    job: Job, send: Callable[[Any], None], *, compared: bool = False, tested: bool = False
) -> dict[str, Any]:
    """Train; goes on from the last checkpoint in the output folder if there is one.

    Args:
        job: training to do.
        send: function that takes each epoch's report.
        compared: whether its validation metric is compared with others', so that there must be one.
        tested: whether the weights are tested in the end: of the epoch that is best on the
            validation data, of the last one where there is none.

    Returns:
        The result, flat; `default` is the metric on the validation data, without any that on the
        test data or, not tested, on the training data. Of several processes that train
        together all but the first end here.

    Raises:
        SettingsError: before anything is trained.
        CheckpointError: the checkpoint in the output folder cannot be read.
        DivergedError: a loss is not finite.
    """
    started = time.time()
    settings, folder = job.settings, job.folder
    task, metric = settings.task, settings.task.metric
    data, network = prepare(job)
    validates = task.validates(data)
    if compared and not validates:
        raise SettingsError([f"data: {job.data.name} has no validation data to compare on"])
    if tested:
        build.require_test(job.data, data, task)
    identity = job.identity
    fit = go_on(folder, identity, validates)
    folder.make()
    reporter = Reporter(send, folder, job.key, job.seed, settings.epochs)
    described = task.described(network, data, identity.what)
    recipe = task.training_module(network, settings, described)
    with _devices(settings.processes) as (devices, is_first):
        if is_first:
            print(f"{job.key}: trained on {devices[0]}; results in {folder}", flush=True)
        report: list[pl.Callback] = [_ReportEpoch(reporter, metric), Signed(folder, identity)]
        made = trainer(settings, job.output, devices, validates, report, sys.stdout.isatty())
        with advised_out_of_memory("lower batch_size or channels, or use precision: bf16-mixed"):
            made.fit(recipe, datamodule=data, **fit)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if not is_first:
            sys.exit(0)
        if settings.processes > 1:
            data.trainer = None  # the others are gone: what is tested on is not shared out any more
        weights = folder.address(BEST if validates else LAST)
        found = {}
        if tested:
            trained = task.trained(Path(weights), job.genotype, settings, data)
            found = test(trained, data, devices[0], task)
    epochs = reporter.history.records()
    best = epochs[metric.best(record.default for record in epochs) if validates else -1]
    if validates:
        found = {metric.val: best.default, "val_loss": float(best.metrics["val_loss"]), **found}
    return {
        "default": found.get(metric.val, found.get(metric.test, best.default)),
        **found,
        **task.count(network, data),
        "best_epoch": best.epoch,
        "weights": weights,
        "device": str(devices[0]),
        "seconds": round(time.time() - started, 1),
    }


def prepare(job: Job, load: bool = True) -> tuple[Any, Any]:
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
    if (reason := job.folder.unwritable()) is not None:
        raise UnavailableError([f"the output directory: {reason}"])
    try:
        settings.task.require(job.genotype)
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    data = build.training_data(job.data, settings, job.seed, load)
    # After the data, so that the weights do not hang on how it is loaded.
    pl.seed_everything(job.seed, workers=True, verbose=False)
    try:
        network = built(
            lambda: settings.task.network(job.genotype, settings, data),
            f"the sizes of the network, {settings.network}",
        )
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    return data, network


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


def test(network: nn.Module, data: Any, device: torch.device, task: Task) -> dict[str, float]:
    """Test metric of the task and mean cross entropy on the test data, in float32.

    This is the only place where test data is read.
    """
    data.prepare_data()
    data.setup("test")
    return task.test(network.to(device).eval(), data, device)
