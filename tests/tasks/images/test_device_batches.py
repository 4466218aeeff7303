from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.device_batches import DeviceBatches, beside

CPU = torch.device("cpu")


class FakeStream:
    """Writes down what is asked of it."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def wait(self) -> None:
        self.events.append("wait")

    @contextmanager
    def within(self) -> Iterator[None]:
        self.events.append("begin")
        yield
        self.events.append("end")

    def hand_over(self, tensors: list[Tensor]) -> None:
        self.events.append(("hand over", len(tensors)))


class Drawing(TensorDataset):
    """Every item draws a number, as augmentation does."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.rand(()), super().__getitem__(index)[0]


def loader() -> DataLoader:
    return DataLoader(Drawing(torch.arange(7)), batch_size=3, shuffle=True)


def test_batches_and_draws_are_those_of_the_loader() -> None:
    def run(batches: object) -> list[float]:
        torch.manual_seed(0)
        seen = []
        for x, y in batches:  # type: ignore[attr-defined]
            # A step draws too: the order in which both draw must stay.
            seen += [*x.tolist(), *y.tolist(), float(torch.rand(()))]
        return [*seen, float(torch.rand(()))]

    wrapped = DeviceBatches(loader(), CPU, FakeStream())
    assert len(wrapped) == 3
    assert run(wrapped) == run(loader())
    assert run(wrapped) == run(loader())  # in the second epoch too


def test_nothing_is_drawn_before_the_first_batch_is_asked_for() -> None:
    before = torch.get_rng_state()
    iterator = iter(DeviceBatches(loader(), CPU, FakeStream()))
    assert torch.equal(torch.get_rng_state(), before)
    next(iterator)
    assert not torch.equal(torch.get_rng_state(), before)


def test_a_batch_is_made_on_the_stream_and_handed_over() -> None:
    stream = FakeStream()
    batches = iter(DeviceBatches([(torch.ones(1), "a name", {"y": torch.ones(2)})], CPU, stream))
    (x, name, rest) = next(batches)
    assert (x.tolist(), name, rest["y"].tolist()) == ([1], "a name", [1, 1])
    # It waits once an epoch, not for each batch: else nothing would run beside a step.
    assert stream.events == ["wait", "begin", "end", ("hand over", 2)]
    with pytest.raises(StopIteration):
        next(batches)
    assert stream.events[4:] == ["begin", "end"]


def test_beside_leaves_the_cpu_alone() -> None:
    values = torch.ones(2)
    assert beside(values, torch.ones(1)) is values
    assert beside(values, torch.ones(1, device="meta")).device.type == "meta"


@pytest.mark.gpu
def test_a_gpu_gets_the_batches_of_the_cpu() -> None:
    class Trainer:
        class strategy:
            root_device = torch.device("cuda", 0)

    def epoch(on_device: bool) -> list[tuple[Tensor, Tensor]]:
        data = BilevelData("digits", on_device=on_device)
        data.setup()
        if on_device:
            data.trainer = Trainer  # type: ignore[assignment]
        torch.manual_seed(0)
        return list(data.train_dataloader())  # type: ignore[arg-type]

    for (x, y), (expected, labels) in zip(epoch(True), epoch(False), strict=True):
        assert x.device == y.device == torch.device("cuda", 0)
        assert torch.equal(y.cpu(), labels)
        torch.testing.assert_close(x.cpu(), expected)
