"""What a GPU waits for: the kernels of a search step, counted."""

from __future__ import annotations

import torch
from kernels import KernelCounter
from torch import nn
from torch.optim import SGD

from nni_darts import UnrolledDARTS
from nni_darts.search.functions import finite_difference
from search_spaces import DartsCNN


def kernels(fused: bool) -> int:
    """Of a second-order step, the optimiser's updates included."""
    torch.manual_seed(0)
    net = UnrolledDARTS(fused=fused).mutate_model(DartsCNN(2, 8))
    named = list(net.named_parameters())
    alphas = [p for n, p in named if n.endswith("_arch_alpha")]
    weights = [p for n, p in named if not n.endswith("_arch_alpha")]
    sgd = SGD(weights, 0.025, 0.9, weight_decay=3e-4, foreach=True)
    x, y = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])

    def loss() -> torch.Tensor:
        return nn.functional.cross_entropy(net(x), y)

    loss().backward()
    sgd.step()  # the first makes the momentum
    net.zero_grad()
    with KernelCounter() as counter:
        finite_difference(loss, loss, weights, alphas, sgd, [net])
        loss().backward()
        sgd.step()
    return counter.total


def test_a_third_of_the_kernels_at_most() -> None:
    assert 0 < kernels(fused=True) <= kernels(fused=False) / 3
