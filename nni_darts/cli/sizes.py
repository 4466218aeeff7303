"""Sizes of a genotype's networks at the settings of the papers."""

from __future__ import annotations

from typing import Any

import torch

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
    """Lines of parameters and multiply-adds; ValueError if no network can be made of it."""
    return _of_images(genotype) if task is IMAGES else _of_texts(genotype)


def _of_images(genotype: Genotype) -> list[str]:
    lines = [f"{'':<34}{'parameters':>12}{'with auxiliary head':>21}{'multiply-adds':>15}"]
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
        lines.append(
            f"{name:<34}{network_size.parameters(bare):>12,}{network_size.parameters(full):>21,}"
            f"{multiply_adds:>15,}"
        )
    return lines


def _of_texts(genotype: Genotype) -> list[str]:
    lines = [f"{'':<40}{'parameters':>12}{'multiply-adds':>15}"]
    for name, vocabulary, hidden in _TEXTS:
        with torch.device("meta"):
            network = DartsRNNNetwork(genotype, vocabulary, hidden, hidden)
        lines.append(
            f"{name:<40}{network_size.parameters(network):>12,}"
            f"{network_size.multiply_adds_per_word(network):>15,}"
        )
    return lines
