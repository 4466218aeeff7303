"""The networks that are trained on images: how they are made, counted and compared with data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nni_darts._common.table import Column, lines
from nni_darts.genotypes.genotype import Genotype
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.training import network_size
from search_spaces.darts_network import DartsNetwork

_AUXILIARY = (
    "; the auxiliary head is made for 32x32 (ImageNet's stem: 224x224): auxiliary_weight 0 is none"
)
_CIFAR: dict[str, Any] = {"channels": 36, "num_cells": 20, "num_classes": 10}
_IMAGENET = {"channels": 48, "num_cells": 14, "num_classes": 1000, "stem": "imagenet"}
_OF_PAPERS = (
    ("CIFAR-10 (C 36, 20 cells, 32x32)", 32, _CIFAR),
    ("ImageNet (C 48, 14 cells, 224x224)", 224, _IMAGENET),
)


def fresh_network(genotype: Genotype, settings: ImageTraining, data: Any) -> DartsNetwork:
    """The fresh network of a training.

    Raises:
        ValueError: the genotype, the settings or the images do not fit.
    """
    try:
        network = DartsNetwork(
            genotype,
            channels=settings.channels,
            num_cells=settings.num_cells,
            num_classes=data.num_classes,
            auxiliary=settings.auxiliary_weight > 0,
            stem=settings.stem,
            in_channels=data.in_channels,
        )
        if (size := image_size(data)) is not None:
            network_size.require_fit(network, size, data.in_channels)
    except ValueError as error:
        hint = "" if settings.auxiliary_weight == 0 else _AUXILIARY
        raise ValueError(f"{error}{hint}") from None
    return network


def image_size(data: Any) -> int | None:
    """Side of the square images in pixels; None where a data module of the user's does not say."""
    size = getattr(data, "image_size", None)
    return size if isinstance(size, int) else None


def input_of(data: Any) -> dict[str, Any]:
    """Input of a network trained on a data module, as far as the module describes it."""
    size = image_size(data)
    known: dict[str, Any] = {} if size is None else {"image_size": size}
    for name in ("mean", "std"):
        if (value := getattr(data, name, None)) is not None:
            known[name] = [float(v) for v in value]
    return known


def misfits(trained: Mapping[str, Any], data: Any) -> list[str]:
    """Describe how data differs from what a network was trained on, in sentences on the network.

    Args:
        trained: the network's arguments and its `input_of`.
        data: to be tested on; it need not be loaded.
    """
    ours = {
        "num_classes": data.num_classes,
        "in_channels": data.in_channels,
        "image_size": image_size(data),
    }
    problems = []
    for name, value in ours.items():
        if value is None or name not in trained or trained[name] == value:
            continue
        hint = "choose the data that it was trained on"
        if name == "image_size":
            hint += f", or give --image-size {trained[name]}"
        problems.append(
            f"was trained with {name} {trained[name]}, {getattr(data, 'name', 'the data')} has "
            f"{value}; {hint}"
        )
    return problems


def count(network: DartsNetwork, data: Any) -> dict[str, int]:
    """Parameters and, where the size of the images is known, multiply-adds; no auxiliary head."""
    with torch.device("meta"):
        bare = DartsNetwork(network.genotype, **{**network.arguments, "auxiliary": False})
    counts = {"params": network_size.parameters(bare)}
    if (size := image_size(data)) is not None:
        channels = network.arguments["in_channels"]
        counts["multiply_adds"] = network_size.multiply_adds(bare, size, channels)
    return counts


def sizes(genotype: Genotype) -> list[str]:
    """Lines of a table: the networks at the papers' sizes; ValueError where none can be made."""
    rows = []
    for name, size, arguments in _OF_PAPERS:
        try:
            with torch.device("meta"):
                bare, full = (
                    DartsNetwork(genotype, auxiliary=auxiliary, **arguments)
                    for auxiliary in (False, True)
                )
            multiply_adds = network_size.multiply_adds(bare, size)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        counts = (network_size.parameters(bare), network_size.parameters(full), multiply_adds)
        rows.append([name, *(f"{count:,}" for count in counts)])
    names = ("parameters", "with auxiliary head", "multiply-adds")
    return lines([Column("", left=True), *map(Column, names)], rows)
