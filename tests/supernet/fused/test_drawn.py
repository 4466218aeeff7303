"""Fused cells that run only what is drawn: the numbers of the edges one by one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from fused_cells import OneCell, assert_equal, fused_cells, images, numbers
from torch import nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet.drawn import DrawnLayer
from nni_darts.supernet.fused import run as fused_run
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.gumbel import Gumbel
from search_spaces import DartsCNN

TAU = 1.3


def pair(space: nn.Module, unselected: str = "ignored") -> tuple[nn.Module, nn.Module]:
    """Plain and fused, in float64."""
    torch.manual_seed(0)
    relaxation = Gumbel(TAU, unselected)
    plain = UnrolledDARTS(fused=False, relaxation=relaxation).mutate_model(space).double()
    for parameter in plain.parameters():
        if parameter.dim() == 1 and parameter.shape[0] > 3:
            parameter.data.normal_()
    assert any(type(module) is DrawnLayer for module in plain.modules())
    return plain, fuse(copy.deepcopy(plain))


def compare(plain: nn.Module, fused: nn.Module, seed: int, hypergradient: str) -> int:
    assert fused_cells(fused) == 1
    found = []
    for net in (plain, fused):
        torch.manual_seed(seed)
        found.append(numbers(copy.deepcopy(net), hypergradient, every=False))
    assert_equal(*found)
    return sum(name.startswith("gradient of") for name in found[0])


@pytest.mark.parametrize("unselected", ["ignored", "ones"])
@pytest.mark.parametrize("hypergradient", ["first_order", "exact", "finite_difference"])
def test_fused_equals_plain(
    hypergradient: str, unselected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fused = pair(OneCell(stride=2), unselected)
    calls = []
    drawn = fused_run.run_drawn
    monkeypatch.setattr(fused_run, "run_drawn", lambda *a: calls.append(a) or drawn(*a))
    everything = len(list(plain.parameters()))
    assert compare(plain, fused, 1, hypergradient) < everything
    assert len(calls) == {"first_order": 3, "exact": 4, "finite_difference": 6}[hypergradient]


@pytest.mark.parametrize("seed", range(2, 8))
def test_any_draw_gives_the_same_numbers(seed: int) -> None:
    compare(*pair(OneCell(stride=seed % 2 + 1)), seed, "first_order")


def test_an_unknown_operation_runs_where_it_is_drawn() -> None:
    for seed in range(2):
        compare(*pair(OneCell(["own", "skip_connect", "sep_conv_3x3"])), seed, "first_order")


@pytest.mark.parametrize("name", ["own", "none", "dil_conv_3x3", "max_pool_3x3"])
def test_all_edges_may_draw_one_operation(name: str) -> None:
    plain, fused = pair(OneCell([name, "skip_connect"], stride=2))
    for net in (plain, fused):
        for module in list[Any](net.modules()):
            if type(module) is DrawnLayer:
                module._arch_alpha.data = torch.tensor([30.0, -30.0]).double()
    compare(plain, fused, 0, "first_order")


def test_a_kind_of_edges_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fused = pair(OneCell(["sep_conv_3x3", "skip_connect"]))
    for module in list[Any](fused.modules()):
        if type(module) is DrawnLayer:
            module._arch_alpha.data = torch.tensor([30.0, -30.0]).double()
    convolutions = []
    conv2d = nn.functional.conv2d
    monkeypatch.setattr(
        nn.functional, "conv2d", lambda *a, **k: convolutions.append(a) or conv2d(*a, **k)
    )
    fused(images()[0])
    # The two stems, and four sources of two stages, depthwise and pointwise each.
    assert len(convolutions) == 2 + 4 * 4


@pytest.mark.parametrize("options", [{"partial_channels": 2}, {"edge_weights": True}])
def test_with_partial_channels_or_weights_of_edges_the_edges_run_one_by_one(
    options: dict[str, Any],
) -> None:
    plain, fused = pair(DartsCNN(4, 3, **options))
    found = []
    for net in (plain, fused):
        torch.manual_seed(3)
        loss = net(images()[0]).square().mean()
        gradients = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        found.append([loss.detach(), *(g for g in gradients if g is not None)])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)
