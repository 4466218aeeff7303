"""Layers that run only what is drawn: what runs, its gradients, and the same numbers fused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from fused_cells import OneCell, assert_equal, fused_cells, images, numbers
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet.drawn import DrawnLayer
from nni_darts.supernet.fused import run as fused_run
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.gumbel import Gumbel
from nni_darts.supernet.mixture import Mixture, mixture_of

TAU = 1.3


class Scale(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))
        self.calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return {"y": self.by * x}


class OneChoice(ModelSpace):
    def __init__(self) -> None:
        super().__init__()
        self.choice = LayerChoice([Scale(2.0), Scale(3.0), Scale(5.0)], label="choice")

    def forward(self, x: Tensor) -> Tensor:
        return self.choice(x)["y"]


@pytest.mark.parametrize("unselected", ["ignored", "ones"])
def test_the_gradient_by_hand(unselected: str) -> None:
    net = UnrolledDARTS(relaxation=Gumbel(TAU, unselected)).mutate_model(OneChoice()).double()
    layer: Any = net.choice
    alpha = layer._arch_alpha
    alpha.data = torch.tensor([0.5, 0.0, -0.5]).double()
    x, upstream = torch.tensor([[1.0, -2.0, 4.0], [0.5, 1.0, 3.0]]).double()
    for seed in range(6):
        torch.manual_seed(seed)
        noise = -torch.empty(1, 3).double().exponential_().log()[0]
        torch.manual_seed(seed)
        calls = [op.calls for op in layer]
        net.zero_grad()
        y = net(x)
        (y * upstream).sum().backward()
        p = ((alpha.detach() + noise) / TAU).softmax(-1)
        k = int(p.argmax())
        assert [op.calls - c for op, c in zip(layer, calls, strict=True)] == [
            int(i == k) for i in range(3)
        ]
        by = [2.0, 3.0, 5.0][k]
        torch.testing.assert_close(y.detach(), by * x)
        assert [op.by.grad is None for op in layer] == [i != k for i in range(3)]
        into = torch.full((3,), 0.0 if unselected == "ignored" else float(upstream.sum())).double()
        into[k] = (by * x * upstream).sum()
        torch.testing.assert_close(alpha.grad, p * (into - (p * into).sum()) / TAU)


def test_all_run_where_mixing_weights_are_held() -> None:
    net = UnrolledDARTS(relaxation="gumbel").mutate_model(OneChoice())
    layer: Any = net.choice
    mixture = mixture_of(net)
    assert isinstance(mixture, Mixture)
    with mixture.held([torch.tensor([0.5, 0.25, 0.25])]):
        torch.testing.assert_close(net(torch.ones(2)), torch.full((2,), 3.0))
    assert [op.calls for op in layer] == [1, 1, 1]


# Fused cells.


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
