"""Fused equals unfused: outputs, gradients, alphas' gradients, statistics, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import Tensor, nn
from torch.optim import SGD

from nni_darts import UnrolledDARTS
from nni_darts.architect import HYPERGRADIENTS
from nni_darts.fused.run import FusedNodes
from nni_darts.fused.supernet import fuse
from nni_darts.genotype import PRIMITIVES
from nni_darts.node import Nodes
from nni_darts.supernet import MixedNode, Node
from search_spaces import DartsCNN
from search_spaces.operations import OPERATIONS, Norm, search_norm, search_operation

CLASSES = 3


def supernets(space: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The plain one and a fused copy, in float64, with alphas far from uniform."""
    plain = UnrolledDARTS(fused=False).mutate_model(space).double()
    for i, (name, parameter) in enumerate(plain.named_parameters()):
        if name.endswith("_arch_alpha"):
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
    alphas = [p for n, p in named if n.endswith("_arch_alpha")]
    return [p for n, p in named if not n.endswith("_arch_alpha")], alphas


def numbers(net: nn.Module, hypergradient: str = "first_order") -> dict[str, Tensor]:
    """All that a search step makes of a network."""
    x, y = images()
    weights, alphas = split(net)
    sgd = SGD(weights, 0.1, 0.9, weight_decay=1e-3)

    def loss(images: Tensor) -> Tensor:
        return nn.functional.cross_entropy(net(images), y)

    found = {"output": net(x).detach()}
    architect = HYPERGRADIENTS[hypergradient]
    gradients = architect(lambda: loss(x), lambda: loss(-x), weights, alphas, sgd, [net])
    found["hypergradient"] = torch.cat([g.flatten() for g in gradients])
    loss(x).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
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


@pytest.mark.parametrize("size", [8, 9, 12])
def test_the_network(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.images", partial(images, size))
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


class Squared(nn.Module):
    """An operation that nobody knows."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x[:, :, :: self.stride, :: self.stride].square()


def made_with(norm: Norm) -> Callable[[str, int], nn.Module]:
    return lambda name, stride: OPERATIONS[name](4, stride, norm)


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


def test_cells_that_cannot_be_fused_stay_as_they_are() -> None:
    class Own(MixedNode):
        pass

    for change in ("node", "edge", "nothing known"):
        names = ["own"] if change == "nothing known" else list(PRIMITIVES)
        plain = UnrolledDARTS(fused=False).mutate_model(OneCell(names)).double()
        nodes: Any = plain.nodes
        if change == "node":
            nodes[0].__class__ = Own
        elif change == "edge":
            edge = nodes[0].edges[0]
            edge.__class__ = type("Own", (type(edge),), {})
        fused = fuse(copy.deepcopy(plain))
        assert fused_cells(fused) == 0
        assert_equal(numbers(fused), numbers(plain))


def test_states_that_are_no_images_run_plainly() -> None:
    plain, fused = supernets(OneCell(["skip_connect"]))
    assert fused_cells(fused) == 1
    states = [torch.randn(2, 5, dtype=torch.float64) for _ in range(2)]
    one, other = (net.nodes(states) for net in (plain, fused))  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_default_is_fused_and_the_parameters_are_the_same() -> None:
    torch.manual_seed(0)
    fused = UnrolledDARTS().mutate_model(DartsCNN(4, 3))
    torch.manual_seed(0)
    plain = UnrolledDARTS(fused=False).mutate_model(DartsCNN(4, 3))
    assert fused_cells(fused) == 3
    assert fused_cells(plain) == 0
    one, other = fused.state_dict(), plain.state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)
    plain.load_state_dict(one)
    fused.load_state_dict(other)
