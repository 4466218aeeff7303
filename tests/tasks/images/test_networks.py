from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nni_darts.genotypes.published import get
from nni_darts.tasks.images import networks
from nni_darts.tasks.images.settings import ImageTraining

DARTS_V2 = get("DARTS_V2")
SMALL = ImageTraining(channels=4, num_cells=3, auxiliary_weight=0)


def data(**attributes: Any) -> Any:
    return SimpleNamespace(**{"num_classes": 7, "in_channels": 1, "image_size": 32, **attributes})


@pytest.mark.parametrize("weight", [0, 0.4])
def test_a_network_is_made_for_the_settings_and_the_data(weight: float) -> None:
    settings = ImageTraining(channels=4, num_cells=3, auxiliary_weight=weight, stem="cifar")
    assert networks.fresh_network(DARTS_V2, settings, data()).arguments == {
        "channels": 4,
        "num_cells": 3,
        "num_classes": 7,
        "auxiliary": weight > 0,
        "stem": "cifar",
        "in_channels": 1,
    }


def test_images_too_small_for_the_auxiliary_head(message: Callable[..., str]) -> None:
    settings = ImageTraining(channels=4, num_cells=3)
    text = message(ValueError, networks.fresh_network, DARTS_V2, settings, data(image_size=8))
    assert text.endswith(
        "; the auxiliary head is made for 32x32 (ImageNet's stem: 224x224): auxiliary_weight 0 is "
        "none"
    )
    networks.fresh_network(DARTS_V2, SMALL, data(image_size=8))
    # Nothing is said of a head that is not there.
    text = message(ValueError, networks.fresh_network, DARTS_V2, SMALL, data(num_classes=1))
    assert text == "num_classes must be at least 2, got 1"


@pytest.mark.parametrize(("size", "known"), [(32, 32), ((32, 32), None), (None, None)])
def test_the_size_of_the_images(size: Any, known: int | None) -> None:
    assert networks.image_size(SimpleNamespace(image_size=size)) == known


def test_the_input_is_what_the_data_says_of_itself() -> None:
    full = data(mean=(np.float32(0.5),), std=(0.25,))
    assert networks.input_of(full) == {"image_size": 32, "mean": [0.5], "std": [0.25]}
    assert type(networks.input_of(full)["mean"][0]) is float
    assert networks.input_of(SimpleNamespace()) == {}


def test_other_data_than_a_network_was_trained_on() -> None:
    trained = {"num_classes": 7, "in_channels": 3, "image_size": 28}
    assert networks.misfits(trained, data(name="mine")) == [
        "was trained with in_channels 3, mine has 1; choose the data that it was trained on",
        "was trained with image_size 28, mine has 32; choose the data that it was trained on, or "
        "give --image-size 28",
    ]
    assert networks.misfits(trained, data(in_channels=3, image_size=28)) == []
    # What one of them does not say fits.
    assert networks.misfits({"num_classes": 7}, data()) == []
    assert networks.misfits(trained, data(in_channels=3, image_size=None)) == []


def test_the_auxiliary_head_is_not_counted() -> None:
    heavy = ImageTraining(channels=4, num_cells=3)
    with_head, without = (networks.fresh_network(DARTS_V2, s, data()) for s in (heavy, SMALL))
    counts = networks.count(with_head, data())
    assert counts == networks.count(without, data())
    assert counts["params"] == sum(weight.numel() for weight in without.parameters())
    assert with_head.auxiliary is not None
    assert networks.count(without, data(image_size=None)) == {"params": counts["params"]}


def test_the_sizes_of_the_papers() -> None:
    head, cifar, imagenet = networks.sizes(DARTS_V2)
    assert head.split("  ")[-1].strip() == "multiply-adds"
    assert cifar.startswith("CIFAR-10 (C 36, 20 cells, 32x32)")
    assert cifar.split()[-3:-1] == ["3,349,342", "3,825,768"]
    assert imagenet.split()[-3:-1] == ["4,718,752", "5,979,528"]
