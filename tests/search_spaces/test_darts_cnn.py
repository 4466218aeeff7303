"""The space and its supernet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import spaces
import torch
from nni.nas.nn.pytorch import LayerChoice
from spaces import count
from torch import nn

from nni_darts import UnrolledDARTS
from nni_darts.genotypes import published as papers
from nni_darts.genotypes.genotype import PRIMITIVES, Genotype
from search_spaces import DartsCNN, DartsNetwork, operations
from search_spaces.operations import FactorizedReduce

DARTS_V2 = Genotype.parse(
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)


# Parameters


def test_weights_of_the_supernet() -> None:
    space = DartsCNN()
    assert count(space) == 1_930_618
    supernet = UnrolledDARTS().mutate_model(space)
    alphas = [p for n, p in supernet.named_parameters() if n.endswith("_arch_alpha")]
    assert count(supernet) == 1_930_618 + 2 * 14 * 8
    assert len(alphas) == 28
    assert {a.shape for a in alphas} == {(8,)}


def test_weights_of_the_supernet_of_pc_darts() -> None:
    space = DartsCNN(partial_channels=4, edge_weights=True)
    assert count(space) == 299_578
    # The network has its operations on all channels.
    frozen = space.freeze(DARTS_V2.to_sample())
    assert type(frozen) is DartsNetwork
    assert count(frozen) == count(DartsNetwork(DARTS_V2, 16, 8))
    supernet = UnrolledDARTS().mutate_model(space)
    betas = [p for n, p in supernet.named_parameters() if n.endswith("_arch_beta")]
    assert [len(beta) for beta in betas] == [2, 3, 4, 5] * 2
    assert count(supernet) == 299_578 + 2 * 14 * 8 + 2 * 14


def test_partial_channels_change_what_operations_see() -> None:
    space = DartsCNN(8, 3, partial_channels=2, num_nodes=2)
    for place, cell in enumerate(space.cells):
        for node in cell.nodes:
            for edge in node.edges:
                assert (edge.k, edge.channels) == (2, 8 * 2 ** (place))
                assert edge.operation["sep_conv_3x3"][1].in_channels == edge.channels // 2
                assert edge.operation["max_pool_3x3"][1].num_features == edge.channels // 2


# Structure


@pytest.mark.parametrize(("num_cells", "reductions"), [(8, [2, 5]), (20, [6, 13]), (14, [4, 9])])
def test_reductions_stand_at_two_places(num_cells: int, reductions: list[int]) -> None:
    # Trap 12; and trap 11: FactorizedReduce where the previous cell was a reduction, on c_{k-2}.
    for network in (DartsCNN(4, num_cells), DartsNetwork(DARTS_V2, 4, num_cells)):
        sizes = [x.shape[2] for x in network.cell_outputs(torch.randn(2, 3, 32, 32))]
        steps = [i for i in range(1, num_cells) if sizes[i] < sizes[i - 1]]
        assert steps == reductions
        reduced = [
            (i, j)
            for i, cell in enumerate(network.cells)
            for j, preprocess in enumerate(cell.inputs)
            if isinstance(preprocess, FactorizedReduce)
        ]
        assert reduced == [(i + 1, 0) for i in reductions if i + 1 < num_cells]


def test_first_cell_starts_at_c_channels_and_the_stem_is_three_times_as_wide() -> None:
    # Trap 14.
    space = DartsCNN(16)
    assert space.stem.both[0].out_channels == 48
    assert space.cells[0].inputs[0][1].out_channels == 16
    assert len(list(space.stem.parameters())) == 3


def test_labels() -> None:
    labels = list(DartsCNN(4, 3).simplify())
    assert len(labels) == 2 * (14 + 4)
    assert labels[:3] == ["normal_2_0", "normal_2_1", "normal_2"]
    assert not any("/" in label for label in labels)


def test_supernet_operations() -> None:
    supernet = UnrolledDARTS().mutate_model(DartsCNN(4, 3))
    (edge, *_) = [m for m in supernet.modules() if isinstance(m, LayerChoice)]
    assert tuple(edge.names) == PRIMITIVES
    # Pools are normalised, and nothing has scale, shift or running statistics (trap 25).
    for cell in supernet.cells:
        for module in cell.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight is None
                assert module.running_mean is None
    assert isinstance(edge["max_pool_3x3"][1], nn.BatchNorm2d)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_cells": 2}, "num_cells must be at least 3, got 2"),
        ({"channels": 7}, "channels must be divisible by 2 and positive, got 7"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"stem": "mnist"}, "stem must be 'cifar' or 'imagenet', got 'mnist'"),
        ({"num_nodes": 0}, "num_nodes must be at least 1, got 0"),
        ({"primitives": ["sep_conv_3x4", "none"]}, "did you mean 'sep_conv_3x3'?"),
        ({"primitives": ["none"]}, "an operation besides none"),
        ({"partial_channels": 3}, "partial_channels=3 must divide the 16 channels of an edge"),
        ({"partial_channels": 0}, "partial_channels must be at least 1, got 0"),
        ({"partial_channels": "4"}, "partial_channels must be"),
        ({"edge_weights": 1}, "edge_weights must be"),
        ({"primitives": ["skip_connect", "skip_connect"]}, "must be distinct"),
    ],
)
def test_bad_spaces(arguments: dict[str, Any], expected: str, message: Any) -> None:
    assert expected in message(ValueError, DartsCNN, **arguments)


def test_an_operation_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        operations.OPERATIONS, "blur", lambda channels, stride, norm: nn.AvgPool2d(5, stride, 2)
    )
    space = DartsCNN(4, 3, spaces.CLASSES, num_nodes=2, primitives=["blur", "skip_connect"])
    strategy = spaces.search(space)
    for model in strategy.list_models(limit=2):
        assert model.executable_model().eval()(torch.randn(1, 3, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize(
    ("make", "weighted"),
    [
        (lambda: DartsCNN(channels=4, num_cells=3, num_nodes=2, in_channels=1), 94.778783),
        (lambda: DartsCNN(channels=4, num_cells=3, stem="imagenet"), -24.54789),
        (lambda: DartsNetwork(papers.get("DARTS_V2"), 4, 3, in_channels=1), 382.150001),
    ],
)
def test_a_seed_gives_the_weights_that_it_always_gave(
    make: Callable[[], nn.Module], weighted: float
) -> None:
    """The figures in the docs hang on it: the sums are those of the version before the rooms."""
    torch.manual_seed(0)
    parameters = enumerate(make().parameters())
    total = sum(float(p.detach().double().sum() * (i % 7 + 1)) for i, p in parameters)
    assert total == pytest.approx(weighted, abs=1e-4)
