"""Fused equals unfused: outputs, gradients, alphas' gradients, statistics, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from fused_cells import (
    CLASSES,
    OneCell,
    assert_equal,
    fused_cells,
    images,
    numbers,
    ours,
    supernets,
)
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.search.parts import HYPERGRADIENTS
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.nodes import Nodes
from search_spaces import DartsCNN
from search_spaces.operations import OPERATIONS, Norm, search_norm


@pytest.mark.parametrize("size", [8, 9, 12])
def test_the_network(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fused_cells.images", partial(images, size))
    plain, fused = supernets(DartsCNN(4, 3, CLASSES))
    assert fused_cells(fused) == 3
    assert fused_cells(plain) == 0
    assert_equal(numbers(fused), numbers(plain))


@pytest.mark.parametrize("hypergradient", ["finite_difference", "exact"])
def test_hypergradients(hypergradient: str) -> None:
    plain, fused = supernets(DartsCNN(2, 3, CLASSES, num_nodes=2))
    assert_equal(numbers(fused, hypergradient), numbers(plain, hypergradient))


@pytest.mark.parametrize("which", ["plain", "fused"])
@pytest.mark.parametrize("hypergradient", HYPERGRADIENTS)
def test_cells_computed_again_in_the_backward_pass(hypergradient: str, which: str) -> None:
    plain, fused = supernets(DartsCNN(2, 3, CLASSES, num_nodes=2))
    net = fused if which == "fused" else copy.deepcopy(plain)
    cells = [module for module in net.modules() if isinstance(module, Nodes)]
    assert len(cells) == 3
    for cell in cells:
        cell.recompute = True
    assert_equal(numbers(net, hypergradient), numbers(plain, hypergradient))


def affine_norm(channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels, track_running_stats=False)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def made_with(norm: Norm) -> Callable[[str, int], nn.Module]:
    return lambda name, stride: OPERATIONS[name](4, stride, norm)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("names", "make"),
    [
        (["none", "skip_connect"], ours),
        (["max_pool_3x3", "avg_pool_3x3"], ours),
        (["dil_conv_3x3", "dil_conv_5x5"], ours),
        (["sep_conv_7x7", "none", "conv_7x1_1x7"], ours),
        (["own", "sep_conv_3x3", "none"], ours),
        (PRIMITIVES, made_with(search_norm)),
        (PRIMITIVES, made_with(affine_norm)),
        (PRIMITIVES, made_with(nn.BatchNorm2d)),
    ],
    ids=["skip", "pools", "dilated", "7x7", "unknown", "bare pools", "affine", "tracking"],
)
def test_one_cell(names: list[str], make: Any, stride: int) -> None:
    plain, fused = supernets(OneCell(names, make, stride))
    assert fused_cells(fused) == 1
    assert_equal(numbers(fused), numbers(plain))


class Sigmoid(nn.Module):
    """Another relaxation: no operation takes from another's weight."""

    def forward(self, alpha: Tensor) -> Tensor:
        return alpha.sigmoid()


class Noisy(nn.Module):
    """One that draws."""

    def forward(self, alpha: Tensor) -> Tensor:
        return (alpha + torch.randn_like(alpha)).softmax(-1)


@pytest.mark.parametrize("relaxation", [Sigmoid, Noisy])
def test_another_relaxation(relaxation: type[nn.Module]) -> None:
    plain = UnrolledDARTS(fused=False).mutate_model(OneCell()).double()
    for module in plain.modules():
        if hasattr(module, "_arch_alpha"):
            module._softmax = relaxation()
    fused = fuse(copy.deepcopy(plain))
    assert fused_cells(fused) == 1
    found = []
    for net in (fused, plain):
        torch.manual_seed(2)
        found.append(numbers(net))
    assert_equal(*found)


def test_states_that_are_no_images_run_plainly() -> None:
    plain, fused = supernets(OneCell(["skip_connect"]))
    assert fused_cells(fused) == 1
    states = [torch.randn(2, 5, dtype=torch.float64) for _ in range(2)]
    one, other = (net.nodes(states) for net in (plain, fused))  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
