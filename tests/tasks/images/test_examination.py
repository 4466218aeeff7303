from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from nni_darts._common.validation import SettingsError
from nni_darts.tasks.images import examination


def user_data(batch: Any, **attributes: Any) -> Any:
    """A data module of a user's own with one batch to train on."""
    return SimpleNamespace(num_classes=3, train_dataloader=lambda: [batch], **attributes)


def test_every_test_image_counts_once() -> None:
    # Logits (0, log 3) are probabilities 1/4 and 3/4; batches of 3 and of 1.
    batches = [
        (torch.tensor([[0.0, math.log(3)]]).repeat(3, 1), torch.tensor([1, 1, 0])),
        (torch.tensor([[0.0, math.log(3)]]), torch.tensor([0])),
    ]
    data = SimpleNamespace(num_classes=2, test_dataloader=lambda: batches)
    found = examination.test(nn.Identity(), data, torch.device("cpu"))
    assert found["test_acc"] == 0.5
    assert found["test_loss"] == pytest.approx((2 * math.log(4 / 3) + 2 * math.log(4)) / 4)


def test_a_tiny_batch_of_data_that_is_not_loaded() -> None:
    data = SimpleNamespace(num_classes=10, in_channels=2, image_size=6)
    images, labels = examination.tiny_batch(data, 3, False)
    assert images.shape == (3, 2, 6, 6)
    assert labels.dtype == torch.int64
    assert labels.tolist()[::2] == [0, 9]  # the last class is among them


@pytest.mark.parametrize("known", [{"in_channels": 2}, {"image_size": 6}])
def test_no_batch_where_the_shape_is_not_known(known: dict[str, int]) -> None:
    data = SimpleNamespace(num_classes=10, **known)
    assert examination.tiny_batch(data, 3, False) is None


def test_a_tiny_batch_of_a_users_data_is_the_beginning_of_its_first() -> None:
    batch = [torch.arange(5.0), torch.tensor([0, 1, 2, 0, 1])]
    images, labels = examination.tiny_batch(user_data(batch), 2, True)
    assert (images.tolist(), labels.tolist()) == ([0.0, 1.0], [0, 1])


@pytest.mark.parametrize("batch", [torch.zeros(2, 3), (1, 2, 3), {"x": 1, "y": 2}])
def test_a_batch_that_is_no_pair_is_not_taken(batch: Any) -> None:
    assert examination.tiny_batch(user_data(batch, in_channels=1, image_size=4), 2, True) is None


@pytest.mark.parametrize(("labels", "got"), [([0, 3], 3), ([-1, 3], -1)])
def test_labels_beyond_the_classes(
    labels: list[int], got: int, message: Callable[..., str]
) -> None:
    data = user_data((torch.zeros(2), torch.tensor(labels)))
    assert message(SettingsError, examination.tiny_batch, data, 2, True) == (
        f"data: labels must be from 0 to 2, as num_classes is 3, got {got}"
    )
