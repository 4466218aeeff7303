"""One fused cell beside a plain one, and all the numbers that a search step makes of each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn
from torch.optim import SGD

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.parts import HYPERGRADIENTS
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.fused.run import FusedNodes
from nni_darts.supernet.mixed import MixedNode, Node
from nni_darts.supernet.nodes import Nodes
from search_spaces.operations import search_operation

CLASSES = 3
LEARNT = ("_arch_alpha", "_arch_beta")


def supernets(space: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The plain one and a fused copy, in float64, with alphas far from uniform."""
    plain = UnrolledDARTS(fused=False).mutate_model(space).double()
    for i, (name, parameter) in enumerate(plain.named_parameters()):
        if name.endswith(LEARNT):
            parameter.data = torch.linspace(-1, 1 + i / 9, len(parameter)).double()
    return plain, fuse(copy.deepcopy(plain))


def fused_cells(net: nn.Module) -> int:
    return sum(isinstance(module, FusedNodes) for module in net.modules())


def images(size: int = 8, batch: int = 4) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    shape = (batch, 3, size, size + 1 - size % 2)
    x = torch.randn(shape, dtype=torch.float64, generator=draws)
    return x, torch.randint(0, CLASSES, (batch,), generator=draws)


def split(net: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    named = list(net.named_parameters())
    alphas = [p for n, p in named if n.endswith(LEARNT)]
    return [p for n, p in named if not n.endswith(LEARNT)], alphas


def numbers(
    net: nn.Module, hypergradient: str = "first_order", every: bool = True
) -> dict[str, Tensor]:
    """All that a search step makes of a network; `every` parameter must get a gradient."""
    x, y = images()
    weights, alphas = split(net)
    sgd = SGD(weights, 0.1, 0.9, weight_decay=1e-3)

    def loss(images: Tensor) -> Tensor:
        return nn.functional.cross_entropy(net(images), y)

    found = {"output": net(x).detach()}
    step = BilevelStep(lambda: loss(x), lambda: loss(-x), weights, alphas, sgd, [net])
    gradients = HYPERGRADIENTS[hypergradient]()(step)
    found["hypergradient"] = torch.cat([g.flatten() for g in gradients])
    loss(x).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None or not every
        if parameter.grad is None:
            continue
        found[f"gradient of {name}"] = parameter.grad
    sgd.step()
    return {**found, **{name: value.clone() for name, value in net.state_dict().items()}}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        scale = other[name].abs().max().item()
        # An edge into a batch norm of one constant has gradients of mere rounding.
        difference = (one[name].double() - other[name].double()).abs().max().item()
        assert difference <= 1e-12 * max(scale, 1e-3), name


class Squared(nn.Module):
    """An operation that nobody knows."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x[:, :, :: self.stride, :: self.stride].square()


def ours(name: str, stride: int) -> nn.Module:
    return Squared(stride) if name == "own" else search_operation(name, 4, stride)


class OneCell(ModelSpace):
    """Two inputs, three nodes; the edges from the inputs have the given stride."""

    def __init__(
        self,
        names: Sequence[str] = PRIMITIVES,
        make: Callable[[str, int], nn.Module] = ours,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.stems = nn.ModuleList(nn.Conv2d(3, 4, 1, bias=False) for _ in range(2))
        nodes = []
        for target in range(2, 5):
            edges = [
                LayerChoice(
                    {name: make(name, stride if source < 2 else 1) for name in names},
                    label=f"cell_{target}_{source}",
                )
                for source in range(target)
            ]
            nodes.append(Node(edges, 2, label=f"cell_{target}"))
        self.nodes = Nodes(nodes)
        self.head = nn.Linear(4, CLASSES)

    @staticmethod
    def extra_oneshot_hooks(strategy: Any) -> list[Callable[..., Any]]:
        return [MixedNode.mutate]

    def forward(self, x: Tensor) -> Tensor:
        states = self.nodes([stem(x) for stem in self.stems])
        return self.head(sum(states[2:]).mean((2, 3)))
