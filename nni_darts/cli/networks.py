"""The commands about single networks: retrain, evaluate, show and random."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

from nni_darts._common import limits, signals
from nni_darts._common.messages import printable, printable_lines
from nni_darts._common.validation import SettingsError
from nni_darts.experiment.architectures import cells
from nni_darts.genotypes import published
from nni_darts.genotypes.genotype import Genotype
from nni_darts.tasks.components import Component
from nni_darts.tasks.registry import TASKS, of_cells, of_data, parse_training
from nni_darts.training.run_folder import RunFolder


def _genotype(text: str) -> Genotype:
    try:
        return published.from_argument(text)
    except ValueError as error:
        raise SettingsError([str(error)]) from None


def _data(options: argparse.Namespace) -> Component:
    given = {
        "root": options.root,
        "image_size": options.image_size,
        "num_workers": options.num_workers,
        "seed": options.split_seed,
    }
    arguments: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    return Component(name=options.data, **arguments)


def retrain(options: argparse.Namespace) -> int:
    genotype, task = _genotype(options.genotype), of_data(options.data)
    try:
        task.require(genotype)
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    given = {
        name: getattr(options, name)
        for known in TASKS
        for name in known.training.model_fields
        if name in options
    }
    settings = parse_training(task, {k: None if v == "none" else v for k, v in given.items()})

    from nni_darts.experiment import reproduction
    from nni_darts.runs.train import Job, train
    from nni_darts.training.checkpoint import CheckpointError
    from nni_darts.training.finite_losses import DivergedError
    from nni_darts.training.memory import OutOfMemoryError

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    name = options.genotype if options.genotype in published.names() else genotype.digest
    data = _data(options)
    output = options.output or Path(f"retrain-{name}-{data.name}-{options.seed}")
    job = Job(genotype, settings, data, options.seed, output.absolute(), f"retrain {name}")
    words = signals.dying(
        lambda: f"{job.folder.where(settings.epochs)}; go on with the same command"
    )
    try:
        with signals.handled_by(words):
            result = train(job, lambda report: None)
    except (DivergedError, OutOfMemoryError, CheckpointError, OSError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    counts = f"parameters {result['params']:,}"
    if "multiply_adds" in result:
        counts += f"  multiply-adds {result['multiply_adds']:,}"
    print(counts)
    if task.metric.val in result:
        epoch, best = result["best_epoch"] + 1, task.metric.written(result[task.metric.val])
        print(f"best on validation data: {task.metric.name} {best} after epoch {epoch}")
    print(f"weights: {result['weights']}")
    again = reproduction.evaluate(os.path.relpath(result["weights"]), data)
    print(f"test them with: {again}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    from nni_darts.runs import build
    from nni_darts.runs.train import test
    from nni_darts.training import checkpoint
    from nni_darts.training.devices import free_devices

    try:
        trained = checkpoint.read(options.checkpoint)
        network = checkpoint.load(options.checkpoint)
    except ValueError as error:  # a CheckpointError, or there can be no such path
        raise SettingsError([str(error)]) from None
    if not options.unfinished:
        _require_finished(options.checkpoint, trained.training)
    task = of_data(options.data)
    batch_size = task.test_batch if options.batch_size is None else options.batch_size
    try:
        task.require(trained.genotype)
    except ValueError as error:
        raise SettingsError([f"{options.checkpoint}: {error}"]) from None
    data = build.test_data(_data(options), batch_size)
    with build.problems_of_the_data():
        misfits = task.misfits({**trained.arguments, **trained.input}, data)
    if misfits:
        raise SettingsError([f"{options.checkpoint}: the network {text}" for text in misfits])
    with build.problems_of_the_data(), free_devices() as (device,):
        found = test(network, data, device, task)
    print(
        f"test {task.metric.name} {task.metric.written(found[task.metric.test])}  "
        f"test loss {found['test_loss']:.4f}  on the test {task.name} of {options.data}"
    )
    return 0


def _require_finished(path: Path, training: str) -> None:
    """Raise SettingsError if the training beside a checkpoint is not over; copies stand alone."""
    done = RunFolder.at(path.parent).epochs_done()
    try:
        planned = int(json.loads(training)["settings"]["epochs"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return
    if done and done < planned:
        raise SettingsError(
            [
                f"{path}: its training has done {done} of {planned} epochs; go on with it by the "
                "same command that began it, or test what there is with --unfinished"
            ]
        )


def show(options: argparse.Namespace) -> int:
    genotype = _genotype(options.genotype)

    if options.genotype in published.names():
        print(f"{options.genotype}  ({published.source(options.genotype)})")
    print(printable_lines("\n".join(cells(genotype.to_json()))))
    task = of_cells([cell.kind for cell in genotype.cells])
    if task is None:
        return 0
    try:
        lines = task.sizes(genotype)
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    print("\n".join(["", *lines, ""]))
    print(textwrap.fill(task.counted, 100))
    return 0


def random(options: argparse.Namespace) -> int:
    from nni_darts.genotypes.random_cells import draw, draw_recurrent

    most = limits.ARCHITECTURES
    if options.n > most:
        raise SettingsError([f"--n: count must be at most {most}, got {options.n}; draw in parts"])
    try:
        genotypes = (draw_recurrent if options.recurrent else draw)(options.n, options.seed)
    except ValueError as error:
        raise SettingsError([f"--n: {error}"]) from None
    for genotype in genotypes:
        print(genotype.to_text(options.format))
    return 0
