from __future__ import annotations

from typing import Any

import golden
import pytest
import torch

from nni_darts.genotypes.nas_bench_201 import Cell201
from nni_darts.training.network_size import multiply_adds, parameters
from search_spaces import NasBench201Network

DATA = {"cifar10": (10, 32), "cifar100": (100, 32), "ImageNet16-120": (120, 16)}
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|"
SKIPS += "skip_connect~2|"
NOTHING = SKIPS.replace("skip_connect", "none")


def test_the_counts_of_the_benchmark() -> None:
    table = golden.load("variants/nb201_counts.json")
    for case in table["archs"]:
        for data, (classes, size) in DATA.items():
            with torch.device("meta"):
                network = NasBench201Network(Cell201.parse(case["arch"]), num_classes=classes)
            assert parameters(network) == case[data]["params"]
            # Theirs counts the bias of the classifier, ours multiplications by weights alone.
            assert multiply_adds(network, size) + classes == case[data]["multiply_adds"]


def test_a_node_is_the_sum_of_all_edges_before_it() -> None:
    # x1 = x, x2 = x + x1, x3 = x + x1 + x2: four times the input of every cell.
    with_skips = NasBench201Network(Cell201.parse(SKIPS), 4, 1).double()
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(with_skips.cells[0](x), 4 * x)
    pools = Cell201(("avg_pool_3x3", "none", "none", "none", "none", "none"))
    assert NasBench201Network(pools, 4, 1).cells[0](x.float()).abs().sum() == 0


def test_an_unconnected_network_answers_all_the_same() -> None:
    network = NasBench201Network(Cell201.parse(NOTHING), 4, 1).eval()
    logits = network(torch.randn(3, 3, 32, 32))
    assert torch.equal(logits[0], logits[1])


def test_images_of_odd_sizes_are_rounded_up() -> None:
    network = NasBench201Network(Cell201.parse(SKIPS), 4, 1)
    shapes = []
    for cell in network.cells:
        cell.register_forward_hook(lambda _, __, y: shapes.append(tuple(y.shape[1:])))
    network(torch.randn(2, 3, 27, 27))
    assert shapes == [(4, 27, 27), (8, 14, 14), (8, 14, 14), (16, 7, 7), (16, 7, 7)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"cells_per_stage": 0}, "cells_per_stage must be at least 1, got 0"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"channels": 2.5}, "channels must be a whole number of at least 1, got 2.5"),
        (
            {"channels": 60_000},
            "channels 60000, cells_per_stage 5, num_classes 10, in_channels 3 would make ",
        ),
    ],
)
def test_arguments_out_of_range(arguments: Any, expected: str, message: Any) -> None:
    cell = Cell201(("nor_conv_3x3",) * 6)
    assert message(ValueError, NasBench201Network, cell, **arguments).startswith(expected)


def test_a_text_is_no_architecture(message: Any) -> None:
    said = message(TypeError, NasBench201Network, SKIPS)
    assert said.startswith("architecture must be a Cell201 (a text: Cell201.parse), got '|skip")
