"""Layers that run only what is drawn: what runs, and its gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
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
