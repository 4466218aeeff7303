from __future__ import annotations

from typing import Any

import golden
import nb201
import pytest
import torch
from torch import nn

from nni_darts.genotypes.nas_bench_201 import EDGES, OPERATIONS, Cell201
from nni_darts.supernet.architectures import top_k
from nni_darts.supernet.nodes import recompute
from nni_darts.training.network_size import parameters
from search_spaces import NasBench201, NasBench201Network


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return golden.load("variants/nb201_darts.pt")


@pytest.fixture(scope="module")
def network(reference: dict[str, Any]) -> nb201.Network:
    return nb201.Network(reference["init_state_dict"], reference["alphas"])


# The supernet.


def test_the_supernet_computes_what_the_reference_does(
    reference: dict[str, Any], network: nb201.Network
) -> None:
    x, y = reference["batch"]["val_x"], reference["batch"]["val_y"]
    same = {"rtol": 1e-8, "atol": 1e-11}
    torch.testing.assert_close(network.supernet(x), reference["logits_val"], **same)
    loss = network.loss(x, y)
    torch.testing.assert_close(loss, reference["loss_val"], **same)
    names = [n for n in reference["weight_grads"] if nb201.our_name(n) in network.parameters]
    biases = sum(n.endswith(".op.1.bias") for n in reference["weight_grads"])
    assert len(names) == len(reference["weight_grads"]) - biases
    assert biases == 36
    learnt = [*network.alphas, *(network.parameter(n) for n in names)]
    gradients = torch.autograd.grad(loss, learnt)
    torch.testing.assert_close(torch.stack(gradients[:6]), reference["alpha_grad"], **same)
    for name, gradient in zip(names, gradients[6:], strict=True):
        torch.testing.assert_close(gradient, reference["weight_grads"][name], **same)


def test_cells_that_are_computed_again_give_the_same_gradients(reference: dict[str, Any]) -> None:
    network = nb201.Network(reference["init_state_dict"], reference["alphas"])
    recompute(network.supernet)
    loss = network.loss(reference["batch"]["val_x"], reference["batch"]["val_y"])
    gradients = torch.stack(torch.autograd.grad(loss, network.alphas))
    torch.testing.assert_close(gradients, reference["alpha_grad"], rtol=1e-8, atol=1e-11)


def test_every_weight_of_the_supernet_is_the_references(
    reference: dict[str, Any], network: nb201.Network
) -> None:
    theirs = [n for n in reference["param_names"] if not n.endswith(".op.1.bias")]
    assert len(network.parameters) - len(EDGES) == len(theirs) - 1  # one matrix of alphas


def test_the_strongest_architecture_may_have_edges_of_none(network: nb201.Network) -> None:
    # Trap 9: an architecture of the benchmark may be unconnected.
    cases = golden.load("variants/nb201_archs.json")["cases"]
    assert sum("none" in case["arch"] for case in cases) > 10
    for case in cases:
        for alpha, row in zip(network.alphas, case["alphas"], strict=True):
            alpha.data = torch.tensor(row, dtype=torch.float64)
        ((score, sample),) = top_k(network.supernet, 1)
        assert str(Cell201.from_sample(sample)) == case["arch"]
        rows = torch.tensor(case["alphas"], dtype=torch.float64).log_softmax(-1)
        assert score == pytest.approx(rows.max(-1).values.sum().item())


def test_normalisations_of_the_cells_learn_and_keep_nothing_by_default() -> None:
    # Trap 13.
    plain, other = NasBench201(4, 1), NasBench201(4, 1, affine=True, track_running_stats=True)
    for space, expected in ((plain, False), (other, True)):
        norms = {n: m for n, m in space.named_modules() if isinstance(m, nn.BatchNorm2d)}
        of_cells = [norm for name, norm in norms.items() if ".nodes." in name]
        assert len(of_cells) == 3 * 6 * 2
        for norm in of_cells:
            assert (norm.affine, norm.track_running_stats) == (expected, expected)
        others = [norm for name, norm in norms.items() if ".nodes." not in name]
        assert len(others) == 1 + 2 * 2 + 1
        assert all(norm.affine and norm.track_running_stats for norm in others)


def test_freezing_gives_the_network_of_the_benchmark() -> None:
    cell = Cell201((*OPERATIONS, "nor_conv_3x3"))
    space = NasBench201(4, cells_per_stage=2, num_classes=7, in_channels=1)
    network = space.freeze(cell.sample)
    assert type(network) is NasBench201Network
    assert network.architecture == cell
    assert parameters(network) == parameters(NasBench201Network(cell, 4, 2, 7, 1))
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 7)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.affine and norm.track_running_stats for norm in norms)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"cells_per_stage": 0}, "cells_per_stage must be at least 1, got 0"),
        (
            {"channels": 60_000},
            "channels 60000, cells_per_stage 5, num_classes 10, in_channels 3 would make ",
        ),
        ({"affine": 1}, "affine must be True or False, got 1"),
        ({"track_running_stats": "no"}, "track_running_stats must be True or False, got 'no'"),
    ],
)
def test_arguments_out_of_range(arguments: Any, expected: str, message: Any) -> None:
    assert message(ValueError, NasBench201, **arguments).startswith(expected)


def test_labels_are_those_of_the_cell() -> None:
    labels = ["cell_1_0", "cell_2_0", "cell_2_1", "cell_3_0", "cell_3_1", "cell_3_2"]
    assert list(NasBench201(4, 1).simplify()) == labels
