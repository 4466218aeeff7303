"""The commands about single networks: retrain, evaluate, show and random."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

from nni_darts import published
from nni_darts.config import Component, SettingsError, Training, parse_training
from nni_darts.found import COUNTED, cells
from nni_darts.genotype import Genotype

CIFAR = {"channels": 36, "num_cells": 20, "num_classes": 10}
IMAGENET = {"channels": 48, "num_cells": 14, "num_classes": 1000, "stem": "imagenet"}


def _genotype(text: str) -> Genotype:
    try:
        return published.find(text)
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
    genotype = _genotype(options.genotype)
    given = {name: getattr(options, name) for name in Training.model_fields if name in options}
    settings = parse_training({k: None if v == "none" else v for k, v in given.items()})

    from nni_darts import reproduction
    from nni_darts.checkpoint import CheckpointError
    from nni_darts.divergence import DivergedError
    from nni_darts.retraining import Job, train

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    name = options.genotype if options.genotype in published.names() else genotype.digest
    data = _data(options)
    output = options.output or Path(f"retrain-{name}-{data.name}-{options.seed}")
    job = Job(genotype, settings, data, options.seed, output.absolute(), f"retrain {name}")
    try:
        result = train(job, lambda report: None)
    except (DivergedError, CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = f"parameters {result['params']:,}"
    if "multiply_adds" in result:
        counts += f"  multiply-adds {result['multiply_adds']:,}"
    print(counts)
    if "val_acc" in result:
        epoch = result["best_epoch"] + 1
        print(f"best on validation data: {result['val_acc']:.2%} after epoch {epoch}")
    print(f"weights: {result['weights']}")
    again = reproduction.evaluate(os.path.relpath(result["weights"]), data)
    print(f"test them with: {again}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    from nni_darts import checkpoint, resolve
    from nni_darts.device import free_devices
    from nni_darts.retraining import test

    try:
        trained = checkpoint.read(options.checkpoint)
        network = checkpoint.load(options.checkpoint)
    except checkpoint.CheckpointError as error:
        raise SettingsError([str(error)]) from None
    data = resolve.test_data(_data(options), options.batch_size)
    _require_fit(options, {**trained.arguments, **trained.input}, data, resolve.image_size(data))
    with resolve.problems_of_the_data(), free_devices() as (device,):
        found = test(network, data, device)
    print(
        f"test accuracy {found['test_acc']:.2%}  test loss {found['test_loss']:.4f}  "
        f"on the test images of {options.data}"
    )
    return 0


def _require_fit(
    options: argparse.Namespace, trained: dict[str, Any], data: Any, image_size: int | None
) -> None:
    """SettingsError where the data is not such as the network was trained on."""
    ours = {
        "num_classes": data.num_classes,
        "in_channels": data.in_channels,
        "image_size": image_size,
    }
    problems = []
    for name, value in ours.items():
        if value is None or name not in trained or trained[name] == value:
            continue
        hint = "choose the data that it was trained on"
        if name == "image_size":
            hint += f", or give --image-size {trained[name]}"
        problems.append(
            f"{options.checkpoint}: the network was trained with {name} {trained[name]}, "
            f"{options.data} has {value}; {hint}"
        )
    if problems:
        raise SettingsError(problems)


def show(options: argparse.Namespace) -> int:
    genotype = _genotype(options.genotype)

    import torch

    from nni_darts import counting
    from search_spaces import DartsNetwork

    if options.genotype in published.names():
        print(f"{options.genotype}  ({published.source(options.genotype)})")
    print("\n".join(cells(genotype.to_json())))
    if [cell.kind for cell in genotype.cells] != ["normal", "reduce"]:
        return 0
    print(f"\n{'':<34}{'parameters':>12}{'with auxiliary head':>21}{'multiply-adds':>15}")
    for name, size, arguments in (
        ("CIFAR-10 (C 36, 20 cells, 32x32)", 32, CIFAR),
        ("ImageNet (C 48, 14 cells, 224x224)", 224, IMAGENET),
    ):
        try:
            with torch.device("meta"):
                bare, full = (
                    DartsNetwork(genotype, auxiliary=auxiliary, **arguments)
                    for auxiliary in (False, True)
                )
            multiply_adds = counting.multiply_adds(bare, size)
        except ValueError as error:
            raise SettingsError([f"{name}: {error}"]) from None
        print(
            f"{name:<34}{counting.parameters(bare):>12,}{counting.parameters(full):>21,}"
            f"{multiply_adds:>15,}"
        )
    print()
    print(textwrap.fill(COUNTED, 100))
    return 0


def random(options: argparse.Namespace) -> int:
    from nni_darts.random_cells import draw

    try:
        genotypes = draw(options.n, options.seed)
    except ValueError as error:
        raise SettingsError([f"--n: {error}"]) from None
    for genotype in genotypes:
        print(genotype.to_text(options.format))
    return 0
