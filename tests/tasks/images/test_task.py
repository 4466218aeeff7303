from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from images import Images, NoValidation
from torch import nn

from nni_darts.tasks.components import Component
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.images.task import IMAGES


def test_the_seed_of_the_split_is_told() -> None:
    assert IMAGES.data_seeds(Component(name="digits", seed=3)) == ["of the split of the data 3"]
    assert IMAGES.data_seeds(Component(name="digits")) == ["of the split of the data 0"]


def test_what_data_lacks() -> None:
    bare, classes = SimpleNamespace(), SimpleNamespace(num_classes=2)
    assert IMAGES.lacks(bare) == ["an attribute num_classes"]
    assert IMAGES.lacks(classes) == []
    assert IMAGES.lacks_for_training(bare) == [
        "an attribute num_classes, of the labels",
        "an attribute in_channels, of the images",
    ]
    assert IMAGES.lacks_for_training(classes) == ["an attribute in_channels, of the images"]


@pytest.mark.parametrize(
    ("cutout", "taken", "expected"),
    [(16, ["batch_size"], ["cutout"]), (16, ["cutout"], []), (0, ["batch_size"], [])],
)
def test_cutout_is_told_where_the_data_has_none(
    cutout: int, taken: list[str], expected: list[str]
) -> None:
    assert IMAGES.not_taken(ImageTraining(cutout=cutout), taken) == expected


class Empty(Images):
    def val_dataloader(self) -> Any:
        return []


@pytest.mark.parametrize(("kind", "validates"), [(Images, True), (NoValidation, False), (Empty, 0)])
def test_data_that_validates(kind: type[Images], validates: bool) -> None:
    assert IMAGES.validates(kind()) == validates


def test_outputs_of_another_shape() -> None:
    data, batch = SimpleNamespace(num_classes=3), (torch.zeros(2, 4), torch.zeros(2))
    assert IMAGES.misshapen(nn.Linear(4, 3), batch, data) == []
    assert IMAGES.misshapen(nn.Linear(4, 5), batch, data) == [
        "(2, 3) numbers, one for each image and class of the data, got (2, 5)"
    ]


def test_a_test_changes_nothing_of_the_images() -> None:
    settings = IMAGES.test_settings(5)
    assert (settings.batch_size, settings.val_share, settings.cutout) == (5, 0, 0)
