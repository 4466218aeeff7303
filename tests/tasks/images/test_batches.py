from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from nni_darts.tasks.images.batches import EpochLoader, Images, as_it_is


def numbered(count: int = 8, transform: Any = lambda items: items.float()) -> Images:
    """Images of one pixel, which is the image's number; its label is ten times as much."""
    numbers = torch.arange(count)
    return Images(numbers.to(torch.uint8).view(count, 1, 1, 1), 10 * numbers, transform)


def test_a_batch_is_read_at_once_and_keeps_its_labels() -> None:
    sizes: list[int] = []

    def transform(items: Tensor) -> Tensor:
        sizes.append(len(items))
        return items.float() + 0.5

    images = numbered(transform=transform)
    x, y = images.__getitems__([5, 0, 3])
    assert sizes == [3]
    assert x.flatten().tolist() == [5.5, 0.5, 3.5]
    assert y.tolist() == [50, 0, 30]
    assert len(images) == 8


def test_a_single_image_has_no_batch() -> None:
    image, label = numbered()[6]
    assert (image.shape, label.shape) == ((1, 1, 1), ())
    assert (image.item(), label.item()) == (6, 60)


def epoch_of(number: int, seed: int = 0, rank: int = 0) -> list[float]:
    """The images of an epoch in their order, then what is drawn in it after them."""
    images = numbered()
    sampler: Any = DistributedSampler(images, num_replicas=2, rank=rank, seed=7)
    loader = EpochLoader(
        images,
        sampler=sampler,
        epoch=lambda: number,
        seed=seed,
        batch_size=2,
        collate_fn=as_it_is,
    )
    order = [float(value) for x, _ in loader for value in x.flatten()]
    return [*order, float(torch.rand(()))]


def test_an_epoch_repeats_whatever_was_drawn_before() -> None:
    first = epoch_of(3)
    torch.rand(5)
    assert epoch_of(3) == first


def test_the_draws_hang_on_seed_epoch_and_process() -> None:
    draws = [epoch_of(3)[-1], epoch_of(4)[-1], epoch_of(3, seed=1)[-1], epoch_of(3, rank=1)[-1]]
    assert len(set(draws)) == 4


def test_the_order_is_the_samplers_of_the_epoch() -> None:
    assert epoch_of(3)[:-1] != epoch_of(4)[:-1]
    assert epoch_of(3)[:-1] == epoch_of(3, seed=1)[:-1]
    assert sorted(epoch_of(3)[:-1] + epoch_of(3, rank=1)[:-1]) == list(range(8))


def test_nothing_is_seeded_before_the_first_batch_is_asked_for() -> None:
    asked: list[int] = []

    def epoch() -> int:
        asked.append(1)
        return 0

    images = numbered()
    sampler: Any = DistributedSampler(images, num_replicas=1, rank=0)
    state = torch.get_rng_state()
    loader = EpochLoader(images, sampler=sampler, epoch=epoch, seed=0, collate_fn=as_it_is)
    batches = iter(loader)
    assert torch.equal(torch.get_rng_state(), state)
    assert not asked
    next(batches)
    assert asked == [1]
