"""nni_darts/training/network_size.py: counted by hand, and against the published repositories'
networks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nni_darts.genotypes import published
from nni_darts.training.network_size import multiply_adds, multiply_adds_per_word, parameters
from search_spaces.darts_network import DartsNetwork
from search_spaces.darts_rnn_network import DartsRNNNetwork

COUNTS = Path(__file__).parents[3] / "shared" / "data" / "param_mac_counts.json"
IMAGENET = {"channels": 48, "num_cells": 14, "num_classes": 1000, "stem": "imagenet"}
# Names of the repositories' files under which nothing of ours is published.
UNKNOWN = {"DARTS", "PCDARTS", "SNAS"}


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 10),
    )


# By hand


def test_parameters() -> None:
    expected = (8 * 3 * 9 + 8) + (8 + 8) + 8 * 9 + (128 * 10 + 10)
    assert parameters(small()) == expected
    shared = nn.Linear(3, 2)
    assert parameters(nn.Sequential(shared, shared)) == 3 * 2 + 2
    assert parameters(nn.ReLU()) == 0


def test_multiply_adds() -> None:
    # Output pixels * output channels * (input channels of a group * kernel).
    expected = 16 * 16 * 8 * (3 * 9) + 8 * 8 * 8 * 9 + 128 * 10
    assert multiply_adds(small(), 16) == expected


@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers_and_bias(bias: bool) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(5 * 3 * 3, 7, bias=bias))
    assert multiply_adds(network, 3, 5) == 5 * 3 * 3 * 7
    # A linear layer over the last dimension runs once per row and channel.
    assert multiply_adds(nn.Linear(6, 4, bias=bias), 6, 2) == 2 * 6 * 6 * 4


def test_nothing_else_is_counted() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Softmax(1))
    assert multiply_adds(network, 8) == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_any_precision(dtype: torch.dtype) -> None:
    assert multiply_adds(small().to(dtype), 16) == multiply_adds(small(), 16)


def test_the_network_stays_as_it_is() -> None:
    network = small().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    identities = [id(value) for value in network.state_dict(keep_vars=True).values()]
    assert multiply_adds(network, 16)
    assert all(module.training for module in network.modules())
    assert identities == [id(value) for value in network.state_dict(keep_vars=True).values()]
    for name, value in network.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.equal(value, before[name])
    assert network(torch.randn(2, 3, 16, 16)).requires_grad


def test_the_random_state_stays_as_it_is() -> None:
    network = small()
    before = torch.get_rng_state()
    multiply_adds(network, 16)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("size", "channels", "expected"),
    [
        (0, 3, "image_size must be at least 1, got image_size=0"),
        (16, 0, "in_channels must be at least 1, got in_channels=0"),
        (16, 1, "images of shape (1, 1, 16, 16) do not fit the network: "),
        (20, 3, "images of shape (1, 3, 20, 20) do not fit the network: "),
        (1, 3, "images of shape (1, 3, 1, 1) do not fit the network: "),
    ],
)
def test_images_that_do_not_fit(
    size: int, channels: int, expected: str, message: Callable[..., str]
) -> None:
    assert expected in message(ValueError, multiply_adds, small(), size, channels)


def test_a_word_of_a_language_model() -> None:
    # The first state's weights, those of every node, in use or not, and the decoder's.
    for name, nodes in (("RNN_DARTS_V2", 8), ("RNN_ENAS", 11)):
        with torch.device("meta"):
            network = DartsRNNNetwork(published.get(name), 10_000)
        expected = 1700 * 1700 + nodes * 850 * 1700 + 850 * 10_000
        assert multiply_adds_per_word(network.train()) == expected
        assert network.training


# Against the repositories' own networks


def recorded() -> dict[str, dict[str, Any]]:
    """Genotype name -> repository -> counts; nothing without ../shared."""
    if not COUNTS.exists():
        return {}
    by_name: dict[str, dict[str, Any]] = {}
    for repository, entries in json.loads(COUNTS.read_text())["counts"].items():
        for name, counts in entries.items():
            by_name.setdefault(name, {})[repository] = counts
    return by_name


RECORDED = recorded()
KNOWN = sorted(RECORDED.keys() & set(published.names()))


def test_what_is_compared() -> None:
    if not RECORDED:
        pytest.skip(f"{COUNTS} is not here: the counts do not ship with the project")
    assert RECORDED.keys() - set(published.names()) == UNKNOWN
    assert len(KNOWN) == 10
    assert sum(len(RECORDED[name]) for name in KNOWN) == 18


@pytest.mark.parametrize("name", KNOWN)
def test_counts_of_the_repositories(name: str) -> None:
    genotype = published.get(name)

    def network(**arguments: Any) -> DartsNetwork:
        with torch.device("meta"):
            return DartsNetwork(genotype, **arguments)

    # A network with its auxiliary head, which evaluation leaves out, gives both its counts.
    ours: dict[str, int] = {}
    for frame, arguments in {
        "cifar": {},
        "cifar100": {"num_classes": 100},
        "inet": IMAGENET,
    }.items():
        ours[frame] = parameters(network(**arguments))
        ours[f"{frame}_aux"] = parameters(network(**arguments, auxiliary=True))
    macs = {
        "cifar_macs": multiply_adds(network(auxiliary=True), 32),
        "inet_macs": multiply_adds(network(**IMAGENET), 224),
    }
    for repository, theirs in RECORDED[name].items():
        expected = {key: value for key, value in theirs.items() if key in ours}
        assert {"cifar", "cifar_aux", "inet", "inet_aux"} <= expected.keys()
        if repository == "chenxin061+pdarts":
            # That one puts back the last normalisation of ImageNet's auxiliary head.
            expected["inet_aux"] -= 2 * 768
        assert {key: ours[key] for key in expected} == expected
        for key, value in macs.items():
            assert theirs[key]["macs"] == value
            assert theirs[key]["torch_flops"] == 2 * value
