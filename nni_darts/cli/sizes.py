"""How large the networks of a genotype are at the sizes of the papers."""

from __future__ import annotations

from typing import Any

import torch

from nni_darts._common.table import Column, lines
from nni_darts.genotypes.genotype import Genotype
from nni_darts.tasks.base import IMAGES, Task
from nni_darts.training import network_size
from search_spaces import DartsNetwork, DartsRNNNetwork

_CIFAR: dict[str, Any] = {"channels": 36, "num_cells": 20, "num_classes": 10}
_IMAGENET = {"channels": 48, "num_cells": 14, "num_classes": 1000, "stem": "imagenet"}
_IMAGES = (
    ("CIFAR-10 (C 36, 20 cells, 32x32)", 32, _CIFAR),
    ("ImageNet (C 48, 14 cells, 224x224)", 224, _IMAGENET),
)
_TEXTS = (
    ("Penn Treebank (10,000 words, 850 units)", 10_000, 850),
    ("WikiText-2 (33,278 words, 700 units)", 33_278, 700),
)


def table(genotype: Genotype, task: Task) -> list[str]:
    """Parameters and multiply-adds in lines; ValueError where no network can be made of it."""
    return _of_images(genotype) if task is IMAGES else _of_texts(genotype)


def _of_images(genotype: Genotype) -> list[str]:
    rows = []
    for name, size, arguments in _IMAGES:
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


def _of_texts(genotype: Genotype) -> list[str]:
    rows = []
    for name, vocabulary, hidden in _TEXTS:
        with torch.device("meta"):
            network = DartsRNNNetwork(genotype, vocabulary, hidden, hidden)
        counts = (network_size.parameters(network), network_size.multiply_adds_per_word(network))
        rows.append([name, *(f"{count:,}" for count in counts)])
    columns = [Column("", left=True, width=40), Column("parameters"), Column("multiply-adds")]
    return lines(columns, rows)
