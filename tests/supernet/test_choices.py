"""Architectures of spaces in which a label stands in several places, against enumeration."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import nni
import pytest
import spaces
import torch
from nni.mutable import CategoricalMultiple
from nni.nas.hub.pytorch import MobileNetV3Space
from nni.nas.nn.pytorch import (
    Cell,
    InputChoice,
    LayerChoice,
    ModelSpace,
    MutableConv2d,
    MutableModule,
    Repeat,
)
from nni.nas.oneshot.pytorch.strategy import OneShotStrategy
from torch import nn

from nni_darts import UnrolledDARTS
from nni_darts.supernet.mixed import MixedNode, Node


class Tied(ModelSpace):
    """Modules one after the other; only what they choose matters here."""

    def __init__(self, make: Callable[[], list[nn.Module]]) -> None:
        super().__init__()
        self.body = nn.ModuleList(make())

    def extra_oneshot_hooks(self, strategy: OneShotStrategy) -> list[Any]:
        return [MixedNode.mutate]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def layer(label: str, **candidates: nn.Module) -> LayerChoice:
    return LayerChoice(candidates or {"a": nn.Identity(), "b": nn.Tanh()}, label=label)


def edge(label: str) -> LayerChoice:
    return layer(label, none=nn.Identity(), a=nn.Tanh(), b=nn.ReLU())


def inner(*labels: str) -> nn.Module:
    return nn.Sequential(*(layer(label) for label in labels))


def kernel() -> nn.Module:
    choice = nni.choice("kernel", [1, 3, 5])
    return MutableConv2d(3, 3, choice, padding=choice // 2)


def repeats_that_share_their_depth() -> list[nn.Module]:
    depth = nni.choice("depth", [1, 2])
    return [Repeat(lambda i, n=name: layer(f"{n}{i}"), depth) for name in ("x", "y")]


def layers_that_share_a_label() -> list[nn.Module]:
    return [layer("one", a=inner("x"), b=nn.Identity()), layer("one", a=inner("y"), b=inner("z"))]


def a_label_outside_and_inside() -> list[nn.Module]:
    return [
        layer("top", a=layer("one", a=inner("x"), b=nn.Identity()), b=nn.Identity()),
        layer("one", a=nn.Identity(), b=inner("y")),
    ]


def a_label_inside_of_both() -> list[nn.Module]:
    return [
        layer("left", a=inner("x", "y"), b=nn.Identity()),
        layer("right", a=nn.Identity(), b=inner("y", "z")),
    ]


def a_value_inside_of_both() -> list[nn.Module]:
    return [layer(name, a=kernel(), b=nn.Identity()) for name in ("left", "right")]


def a_value_outside_and_inside() -> list[nn.Module]:
    return [kernel(), Repeat(lambda i: layer(f"x{i}", a=kernel(), b=nn.Tanh()), (0, 2), label="n")]


def a_depth_that_is_a_choice_elsewhere() -> list[nn.Module]:
    depth = nni.choice("pairs", [1, 2])
    more = nni.choice("more", [0, 1])
    inside = Repeat(lambda i: layer(f"y{i}"), nni.choice("more", [0, 1]) + 1)
    return [Repeat(lambda i: layer(f"x{i}"), depth + more), layer("top", a=inside, b=nn.Tanh())]


def nodes_that_share_an_edge() -> list[nn.Module]:
    return [
        Node([edge("e0"), edge("e1")], 1, "first"),
        Node([edge("e1"), edge("e2"), edge("e3")], 2, "second"),
    ]


def a_node_whose_edges_share_a_label() -> list[nn.Module]:
    return [Node([edge("e0"), edge("e0"), edge("e1")], 2, "node")]


def a_node_and_a_layer_that_share_an_edge() -> list[nn.Module]:
    return [Node([edge("e0"), edge("e1")], 1, "node"), layer("top", a=edge("e0"), b=nn.Tanh())]


def nodes_that_share_their_inputs() -> list[nn.Module]:
    return [Node([edge(f"{n}0"), edge(f"{n}1"), edge("e")], 2, "inputs") for n in ("x", "y")]


def inputs_of_one_node_or_another() -> list[nn.Module]:
    first, second = (Node([edge(f"{n}0"), edge(f"{n}1")], 1, "inputs") for n in ("x", "y"))
    return [layer("top", a=first, b=second)]


def copies_of_a_cell() -> list[nn.Module]:
    def cell() -> nn.Module:
        operations = {"a": lambda _, __, ___: nn.Identity(), "b": lambda _, __, ___: nn.Tanh()}
        return Cell(operations, 2, 2, 2, label="cell")

    return [cell(), layer("top", a=cell(), b=nn.Tanh()), cell()]


def a_choice_of_inputs_inside_of_both() -> list[nn.Module]:
    def inputs() -> nn.Module:
        return nn.Sequential(InputChoice(3, 2, label="inputs"), layer("x"))

    return [layer("left", a=inputs(), b=nn.Tanh()), layer("right", a=inputs(), b=layer("x"))]


def a_deep_copied_block() -> list[nn.Module]:
    return [Repeat(layer("block", a=inner("x"), b=nn.Tanh()), (0, 3), label="n"), layer("x")]


SPACES = [
    repeats_that_share_their_depth,
    layers_that_share_a_label,
    a_label_outside_and_inside,
    a_label_inside_of_both,
    a_value_inside_of_both,
    a_value_outside_and_inside,
    a_depth_that_is_a_choice_elsewhere,
    nodes_that_share_an_edge,
    a_node_whose_edges_share_a_label,
    a_node_and_a_layer_that_share_an_edge,
    nodes_that_share_their_inputs,
    inputs_of_one_node_or_another,
    a_choice_of_inputs_inside_of_both,
    a_deep_copied_block,
]


def mobile_net(**options: Any) -> ModelSpace:
    stages = len(options.get("depth_range", [...])) + 4
    settings = {
        "depth_range": [(1, 2)],
        "width_multipliers": 1.0,
        "expand_ratios": (1.0,),
        "squeeze_excite": ("none", "none"),
        **options,
    }
    return MobileNetV3Space(
        num_labels=spaces.CLASSES,
        base_widths=(8,) * stages,
        stride=(1,) * stages,
        activation=("relu",) * stages,
        **settings,
    )


class Impossible(Exception):
    """A node with an edge that is none."""


@functools.cache
def labels_of(module: MutableModule) -> list[str]:
    return [label for mutable in module.mutables for label in mutable.simplify()]


def chosen(module: nn.Module, sample: Mapping[str, Any]) -> dict[str, Any]:
    """The choices that matter in a space that has not been touched, label -> choice."""
    found: dict[str, Any] = {}
    if isinstance(module, LayerChoice):
        choice = sample[module.label]
        return {module.label: choice, **chosen(module[choice], sample)}
    if isinstance(module, Node):
        sources = sample[module.choice.label]
        found[module.choice.label] = sources
        for j in sources:
            if sample[module.edges[j].label] == "none":
                raise Impossible
            found |= chosen(module.edges[j], sample)
        return found
    if isinstance(module, MutableModule) and not isinstance(module, ModelSpace):
        found |= {label: sample[label] for label in labels_of(module)}
    children = list(module.children())
    if isinstance(module, Repeat):
        depth = module.depth_choice.freeze(dict(sample))
        children = list(module.blocks)[:depth]
    for child in children:
        found |= chosen(child, sample)
    return found


def enumerated(space: ModelSpace) -> dict[str, dict[str, Any]]:
    """The choices of every architecture, under what they are as text."""
    options = {
        label: list(itertools.combinations(m.values, m.n_chosen))
        if isinstance(m, CategoricalMultiple)
        else m.values
        for label, m in space.simplify().items()
    }
    every = {}
    for values in itertools.product(*options.values()):
        with contextlib.suppress(Impossible):
            found = chosen(space, dict(zip(options, values, strict=True)))
            every[text(found)] = found
    return every


def score(found: Mapping[str, Any], table: Mapping[str, Mapping[Any, float]]) -> float:
    return sum(
        math.log(table[label][each])
        for label, value in found.items()
        if label in table  # the inputs of a node have no alphas
        for each in (value if isinstance(value, tuple) else [value])
    )


def text(found: Mapping[str, Any]) -> str:
    plain = {k: sorted(v) if isinstance(v, tuple | list) else v for k, v in found.items()}
    return str(sorted(plain.items()))


def started(space: ModelSpace) -> UnrolledDARTS:
    strategy = UnrolledDARTS()
    spaces.start(space, strategy, spaces.evaluator())
    strategy.oneshot_module.set_model(strategy.supernet)
    return strategy


def require_exact(make: Callable[[], ModelSpace], seeds: range) -> None:
    strategy, untouched = started(make()), make()
    every = enumerated(untouched)
    for seed in seeds:
        torch.manual_seed(seed)
        with torch.no_grad():
            for alpha in strategy.oneshot_module.arch_parameters():
                alpha.normal_()
        table = strategy.oneshot_module.export_probs()
        scores = {name: score(found, table) for name, found in every.items()}
        expected = sorted(scores.values(), reverse=True)
        for limit in (1, 6, 10_000):
            ranked = strategy.top_k(limit)
            assert [s for s, _ in ranked] == pytest.approx(expected[:limit], rel=1e-5)
            found = [text(chosen(untouched, sample)) for _, sample in ranked]
            assert len(set(found)) == len(found)
            assert [scores[f] for f in found] == pytest.approx([s for s, _ in ranked], rel=1e-5)


@pytest.mark.parametrize("make", SPACES, ids=lambda make: make.__name__)
def test_top_k_equals_enumeration_where_labels_are_tied(make: Any) -> None:
    require_exact(lambda: Tied(make), range(10))


@pytest.mark.parametrize(
    "options",
    [
        {"expand_ratios": (1.0, 2.0), "squeeze_excite": ("none", "optional")},
        {
            "width_multipliers": (1.0, 2.0),
            "depth_range": [(1, 1), (1, 1)],
            "squeeze_excite": ("none",) * 3,
        },
    ],
    ids=["squeeze and excite", "widths"],
)
def test_top_k_equals_enumeration_on_mobile_net(options: dict[str, Any]) -> None:
    require_exact(functools.partial(mobile_net, **options), range(1))


def test_copies_of_a_cell_are_decided_once() -> None:
    (single,) = [started(Tied(lambda: copies_of_a_cell()[:1]))]
    several = started(Tied(copies_of_a_cell))
    assert len(single.top_k(10_000)) == 4 * 12
    assert len(several.top_k(10_000)) == 2 * 4 * 12


def test_the_best_architecture_is_no_mere_argmax() -> None:
    # The label that both share is a's best by far; what it brings in makes it the worst.
    strategy = started(Tied(layers_that_share_a_label))
    alphas = strategy.oneshot_module.model.body
    with torch.no_grad():
        alphas[0]._arch_alpha.copy_(torch.tensor([0.1, 0.0]))
    (_, best), *_ = strategy.top_k(1)
    assert best["one"] == "b"  # a brings two choices, b one
    strategy.model_space.freeze(best)


def test_a_label_of_choices_that_differ_is_refused() -> None:
    def differing() -> list[nn.Module]:
        return [Cell([lambda *_: nn.Identity()] * 2, 2, k, 2, label="cell") for k in (1, 2)]

    strategy = started(Tied(differing))
    with pytest.raises(ValueError, match="the label cell stands for choices that differ, 1 edges"):
        strategy.top_k(1)
