from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import spaces
import torch

from nni_darts import UnrolledDARTS, top_k
from nni_darts.genotypes.genotype import PRIMITIVES, Genotype
from search_spaces import DartsCNN


def started(space: Any) -> UnrolledDARTS:
    strategy = UnrolledDARTS()
    spaces.start(space, strategy, spaces.evaluator())
    strategy.oneshot_module.set_model(strategy.supernet)
    with torch.no_grad():
        for alpha in strategy.oneshot_module.arch_parameters():
            alpha.normal_()
    return strategy


def log(strategy: UnrolledDARTS, label: str, choice: Any) -> float:
    return math.log(strategy.oneshot_module.export_probs()[label][choice])


def plain(s: UnrolledDARTS) -> dict[Any, float]:
    return {
        (a, b, i): log(s, "first", a) + log(s, "second", b) + log(s, "choice", i)
        for a in (0, 1)
        for b in ("wide", "narrow")
        for i in (0, 1)
    }


def repeat(s: UnrolledDARTS) -> dict[Any, float]:
    return {
        (depth, *blocks): log(s, "depth", depth)
        + sum(log(s, f"block{i}", b) for i, b in enumerate(blocks))
        for depth in (1, 2, 3)
        for blocks in itertools.product((0, 1), repeat=depth)
    }


def expression(s: UnrolledDARTS) -> dict[Any, float]:
    return {
        (pairs, *blocks): log(s, "pairs", pairs)
        + sum(log(s, f"block{i}", b) for i, b in enumerate(blocks))
        for pairs in (1, 2)
        for blocks in itertools.product((0, 1), repeat=2 * pairs)
    }


def nested(s: UnrolledDARTS) -> dict[Any, float]:
    inner = {("inner", i): log(s, "outer", "inner") + log(s, "inner", i) for i in (0, 1)}
    return {**inner, ("five",): log(s, "outer", "five")}


def valued(s: UnrolledDARTS) -> dict[Any, float]:
    return {(k, w): log(s, "kernel", k) + log(s, "width", w) for k in (1, 3, 5) for w in (2, 4)}


def cell(s: UnrolledDARTS) -> dict[Any, float]:
    """Nodes 2, 3, 4 take two distinct inputs, each with one of two operations."""
    per_node = []
    for node in (2, 3, 4):
        options = {}
        for pair in itertools.combinations(range(node), 2):
            for names in itertools.product(("conv", "id"), repeat=2):
                edges = tuple(zip(pair, names, strict=True))
                options[edges] = sum(log(s, f"cell/{node}_{j}", name) for j, name in edges)
        per_node.append(options)
    return {
        edges: sum(o[e] for o, e in zip(per_node, edges, strict=True))
        for edges in itertools.product(*per_node)
    }


BRUTE_FORCE: dict[str, Callable[[UnrolledDARTS], dict[Any, float]]] = {
    "plain": plain,
    "repeat": repeat,
    "expression": expression,
    "nested": nested,
    "value": valued,
    "cell": cell,
}


@pytest.mark.parametrize("name", BRUTE_FORCE)
def test_top_k_equals_brute_force(name: str) -> None:
    strategy = started(spaces.SPACES[name]())
    expected = sorted(BRUTE_FORCE[name](strategy).values(), reverse=True)
    ranked = strategy.top_k(10_000)
    assert len(ranked) == len(expected)
    assert [score for score, _ in ranked] == pytest.approx(expected, rel=1e-5)
    assert strategy.top_k(3) == ranked[:3]


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_our_space_ranks_as_the_genotypes_do(nodes: int) -> None:
    strategy = started(DartsCNN(4, 3, num_nodes=nodes))
    alphas = {
        kind: torch.stack(
            [
                strategy._arch_parameters[f"{kind}_{target}_{source}"].detach()
                for target in range(2, 2 + nodes)
                for source in range(target)
            ]
        ).numpy()
        for kind in ("normal", "reduce")
    }
    ranked = strategy.top_k(10)
    expected = top_k(alphas, PRIMITIVES, 10)
    assert [score for score, _ in ranked] == pytest.approx([score for score, _ in expected])
    assert [Genotype.from_sample(sample) for _, sample in ranked] == [g for _, g in expected]


def test_the_first_ten_of_the_full_space_are_found() -> None:
    # There are about 1e18 architectures: what enumerated them would not return.
    ranked = started(DartsCNN(4, 8)).top_k(10)
    assert len({str(sample) for _, sample in ranked}) == 10
    assert [s for s, _ in ranked] == sorted((s for s, _ in ranked), reverse=True)


@pytest.mark.parametrize("name", ["plain", "repeat", "value", "nested"])
def test_probabilities_sum_to_one(name: str) -> None:
    strategy = started(spaces.SPACES[name]())
    for row in strategy.oneshot_module.export_probs().values():
        assert sum(row.values()) == pytest.approx(1)
