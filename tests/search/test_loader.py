from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from nni_darts.search.loader import BilevelLoader, shuffled


def numbers(count: int, batch_size: int = 2, **kwargs: object) -> DataLoader:
    return DataLoader(TensorDataset(torch.arange(count)), batch_size=batch_size, **kwargs)


def test_a_shorter_validation_loader_cycles() -> None:
    # Trap 24.
    loader = BilevelLoader(numbers(10), numbers(4), lambda: None)
    pairs = list(loader)
    assert len(loader) == len(pairs) == 5
    assert [pair["val"][0].tolist() for pair in pairs] == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]


def test_a_longer_validation_loader_does_not_lengthen_the_epoch() -> None:
    assert len(list(BilevelLoader(numbers(4), numbers(10), lambda: None))) == 2


def test_an_iterator_is_made_once_per_epoch_not_per_step() -> None:
    # Trap 23: next(iter(loader)) in every step would start the workers anew.
    made = 0

    class Counting:
        def __iter__(self) -> object:
            nonlocal made
            made += 1
            return iter(numbers(10))

    list(BilevelLoader(numbers(10), Counting(), lambda: None))
    assert made == 1


def test_an_empty_validation_loader_is_refused(message) -> None:
    loader = BilevelLoader(numbers(4), [], lambda: None)
    assert "no batch to learn alpha on" in message(ValueError, list, loader)


def test_the_hook_runs_before_anything_is_drawn() -> None:
    calls: list[str] = []

    class Loud:
        def __iter__(self) -> object:
            calls.append("drawn")
            return iter([1])

    loader = BilevelLoader(Loud(), [1], lambda: calls.append("hook"))
    iterator = iter(loader)
    assert calls == []
    next(iterator)
    assert calls == ["hook", "drawn"]


def test_fixed_order_is_shuffled() -> None:
    torch.manual_seed(0)
    loader = shuffled(numbers(100, 10))
    first, second = ([x.tolist() for (x,) in loader] for _ in range(2))
    assert first != second
    assert sorted(x for batch in first for x in batch) == list(range(100))


@pytest.mark.parametrize(
    ("count", "sizes"), [(105, [10] * 10), (100, [10] * 10), (10, [10]), (7, [7])]
)
def test_shuffled_batches_are_full_unless_there_is_but_one(count: int, sizes: list[int]) -> None:
    loader = shuffled(numbers(count, 10))
    assert [len(x) for (x,) in loader] == sizes
    assert len(loader) == len(sizes)


def test_a_sampler_of_the_users_own_is_left_alone() -> None:
    data = TensorDataset(torch.arange(4))
    own = DataLoader(data, sampler=WeightedRandomSampler([1.0] * 4, 4))
    batches = DataLoader([torch.arange(2)] * 3, batch_size=None)
    for loader in (own, batches, [1, 2]):
        assert shuffled(loader) is loader
