"""Augmentation on a GPU; what it does to images is in test_data.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from waiting import NoWaiting, Waits

from nni_darts.tasks.images.augmentation import (
    ReadAndCrop,
    _per_channel,
    cutout,
    random_flip,
    random_shift,
)
from nni_darts.tasks.images.batches import Images
from nni_darts.tasks.images.data_sets import DATA_SETS

IN_MEMORY = [n for n, d in DATA_SETS.items() if not isinstance(d.transform, ReadAndCrop)]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A GPU that computes nothing, but knows what lies on it."""
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    _per_channel.cache_clear()
    with FakeTensorMode():
        yield torch.device("cuda", 0)
    _per_channel.cache_clear()


def images_of(name: str, device: torch.device, count: int = 6) -> Tensor:
    data = DATA_SETS[name]
    shape = (count, data.in_channels, data.image_size, data.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device)


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("size", [None, 16])
@pytest.mark.parametrize("name", IN_MEMORY)
def test_a_batch_is_made_on_the_gpu_and_nothing_waits(
    name: str, size: int | None, augmented: bool, gpu: torch.device
) -> None:
    data = DATA_SETS[name]
    size = size or data.image_size

    def transform(items: Tensor) -> Tensor:
        return cutout(data.transform(items, image_size=size, augmented=augmented), 4)

    items, labels = images_of(name, gpu), torch.zeros(6, dtype=torch.int64, device=gpu)
    transform(items)  # the first time it copies the mean and the standard deviation
    with NoWaiting():
        x, y = Images(items, labels, transform).__getitems__([3, 1, 5, 0])
    assert x.device == y.device == gpu
    assert x.shape == (4, data.in_channels, size, size)


def test_the_guard_sees_a_draw_that_is_copied_in_the_plain_way(gpu: torch.device) -> None:
    images = images_of("cifar10", gpu)
    with NoWaiting():
        with pytest.raises(Waits, match="copies its indices"):
            images[torch.tensor([0])]
        with pytest.raises(Waits, match="from cpu to cuda"):
            torch.rand(6).to(gpu)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "augment", [lambda x: random_shift(x, 2), random_flip, lambda x: cutout(x, 3)]
)
def test_the_draws_are_those_of_the_cpu(augment: Callable[[Tensor], Tensor]) -> None:
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    torch.manual_seed(0)
    expected = augment(images)
    torch.manual_seed(0)
    assert torch.equal(augment(images.cuda()).cpu(), expected)
