"""What NNI's own DARTS takes, we take: frozen or lazy parameters, streams as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import spaces
import torch
from nni.nas.nn.pytorch import LayerChoice
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from nni_darts import UnrolledDARTS
from nni_darts.search.parts import HYPERGRADIENTS

every_hypergradient = pytest.mark.parametrize("hypergradient", HYPERGRADIENTS)


class FreezingFirst(UnrolledDARTS):
    """Without the first alpha among those that learn."""

    def mutate_model(self, model: Any) -> Any:
        supernet = super().mutate_model(model)
        self._arch_parameters["first"].requires_grad_(False)
        return supernet


@pytest.mark.parametrize("warmup_epochs", [0, 1])
@every_hypergradient
def test_a_frozen_alpha_rests(hypergradient: str, warmup_epochs: int) -> None:
    strategy = FreezingFirst(
        hypergradient=hypergradient, arc_learning_rate=0.1, warmup_epochs=warmup_epochs
    )
    spaces.start(spaces.Plain(), strategy, spaces.evaluator(max_epochs=3))
    before = {name: alpha.clone() for name, alpha in strategy._arch_parameters.items()}
    strategy.run()
    for name, alpha in strategy._arch_parameters.items():
        assert torch.equal(alpha, before[name]) is (name == "first")


class Freezing(UnrolledDARTS):
    def mutate_model(self, model: Any) -> Any:
        return super().mutate_model(model).requires_grad_(False)


def test_with_all_alphas_frozen_there_is_nothing_to_search() -> None:
    with pytest.raises(ValueError, match="all alphas are frozen: there is nothing to search"):
        spaces.search(spaces.Plain(), Freezing())


class FrozenWeights(spaces.Plain):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


def test_where_all_weights_are_frozen_every_hypergradient_is_the_first_order_one() -> None:
    found = []
    for hypergradient in HYPERGRADIENTS:
        torch.manual_seed(0)
        strategy = UnrolledDARTS(hypergradient=hypergradient, arc_learning_rate=0.1)
        spaces.search(FrozenWeights(), strategy)
        found.append(spaces.alphas(strategy))
    assert found[0].abs().max() > 0.01
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


class Lazy(spaces.Classifying):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.LazyLinear(spaces.CLASSES)

    def make_body(self) -> nn.Module:
        convolutions = [nn.LazyConv2d(4, 3, padding=1), nn.LazyConv2d(4, 1)]
        return nn.Sequential(LayerChoice(convolutions, label="conv"), nn.LazyBatchNorm2d())


@every_hypergradient
def test_lazy_parameters(hypergradient: str) -> None:
    strategy = UnrolledDARTS(hypergradient=hypergradient, arc_learning_rate=0.1)
    spaces.search(Lazy(), strategy)
    assert spaces.alphas(strategy).abs().max() > 0.01
    norm: Any = strategy.supernet.body[1]
    # The pass that gave the shapes is not counted: the epoch has two batches.
    assert norm.num_batches_tracked == 2
    assert norm.training


class Stream(IterableDataset[tuple[Tensor, int]]):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        draws = torch.Generator().manual_seed(3)
        for i in range(12):
            yield torch.randn(3, 6, 6, generator=draws), i % spaces.CLASSES


def stream() -> Any:
    return DataLoader(Stream(), batch_size=4)


@pytest.mark.parametrize(
    "data",
    [lambda: {"val": stream()}, lambda: {"train": stream(), "val": stream()}],
    ids=["validation", "both"],
)
def test_streams(data: Callable[[], dict[str, Any]]) -> None:
    strategy = spaces.search(spaces.Plain(), max_epochs=2, **data())
    assert spaces.alphas(strategy).abs().max() > 0.01
