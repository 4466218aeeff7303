from __future__ import annotations

import json
import math
from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import pytest
from golden import SHARED

from nni_darts.search.projection import Kind, Node, Order, Projection, drawn
from nni_darts.supernet.restriction import Only, Restriction, Without

PATH = SHARED / "golden" / "variants" / "darts_pt.json"
CASES = ["s5 acc", "s5 acc", "s5 loss", "s3 acc", "s1 acc"]
SOURCES = [(target, source) for target in range(2, 6) for source in range(target)]


def golden() -> dict[str, Any]:
    if not PATH.exists():
        pytest.skip(f"{PATH} is not here: the reference numbers do not ship with the project")
    return json.loads(PATH.read_text())


def edge_name(kind: str, edge: int) -> str:
    return f"{kind} {edge}"


class Formula:
    """The supernet of the golden file."""

    def __init__(self, case: Mapping[str, Any], alphas: Any, scores: Any) -> None:
        self.criterion = case["criterion"]
        self.alphas = {edge_name(k, e): row for k in alphas for e, row in enumerate(alphas[k])}
        self.scores = {edge_name(k, e): row for k in scores for e, row in enumerate(scores[k])}
        self.evaluations = 0

    def __call__(self, masked: Mapping[str, Restriction]) -> float:
        self.evaluations += 1
        total = 0.0
        for edge, alpha in self.alphas.items():
            weights = np.exp(np.array(alpha) - max(alpha))
            weights /= weights.sum()
            if edge in masked:
                factor, constant = masked[edge].parts(len(alpha))
                weights = weights * np.array(factor) + np.array(constant)
            x = float(np.dot(self.scores[edge], weights))
            total += math.tanh(x) if self.criterion == "acc" else -math.log1p(math.exp(-2 * x))
        return 50 + 2 * total if self.criterion == "acc" else total


def kind_of(kind: str, rows: Any, nodes: bool) -> Kind:
    operations = {
        edge_name(kind, e): {str(i): i for i in range(len(row))} for e, row in enumerate(rows)
    }
    into = {
        f"{kind} node {target - 3}": Node(
            tuple(edge_name(kind, e) for e, (t, _) in enumerate(SOURCES) if t == target), 2
        )
        for target in range(3, 6)
    }
    return Kind(operations, into if nodes else {})


@pytest.mark.parametrize("number", range(5), ids=CASES)
def test_the_reference_s_decisions(number: int) -> None:
    case = golden()["cases"][number]
    kinds = {kind: kind_of(kind, case["alphas"][kind], True) for kind in ("normal", "reduce")}
    order = {
        kind: Order(
            tuple(edge_name(kind, e) for e in case["order"]["edges"][kind]),
            tuple(f"{kind} node {n}" for n in case["order"]["nodes"][kind]),
        )
        for kind in kinds
    }
    formula = Formula(case, case["alphas"], case["score"])
    projection = Projection(kinds, order)
    assert projection.steps == 17
    for _ in range(projection.steps):
        projection.step(formula)
    for kind in kinds:
        kept = {d.label: d.kept for d in projection.decisions if d.kind == kind}
        chosen = [int(kept[edge_name(kind, e)][0]) for e in range(14)]
        assert chosen == case["chosen_op_per_edge"][kind]
        for node, edges in case["kept_edges"][kind].items():
            assert kept[f"{kind} node {node}"] == tuple(edge_name(kind, e) for e in edges)
    # 2 x 14 x operations, and each edge of the nodes once, where the reference takes some again.
    operations = sum(len(row) for rows in case["alphas"].values() for row in rows)
    assert formula.evaluations == operations + 2 * (3 + 4 + 5)


@pytest.mark.parametrize("number", range(4))
def test_the_reference_s_decisions_on_nas_bench_201(number: int) -> None:
    case = golden()["nas_bench_201"][number]
    kinds = {"cell": kind_of("cell", case["alphas"], False)}
    decided = [tuple(pair) for pair in case["projections (edge, op)"]]
    order = {"cell": Order(tuple(edge_name("cell", e) for e, _ in decided), ())}
    formula = Formula(case, {"cell": case["alphas"]}, {"cell": case["score"]})
    projection = Projection(kinds, order)
    for _ in range(projection.steps):
        projection.step(formula)
    assert [(d.label, int(d.kept[0])) for d in projection.decisions] == [
        (edge_name("cell", e), o) for e, o in decided
    ]


def by_hand(scores: Mapping[Restriction, float]) -> Any:
    return lambda masked: next(scores[r] for r in reversed(masked.values()) if r in scores)


def test_the_operation_is_kept_without_which_it_is_worst() -> None:
    kinds = {"k": Kind({"e": {"a": 0, "b": 1, "c": 2}}, {})}
    scores = {Without(0): 61.0, Without(1): 58.2, Without(2): 60.1}
    projection = Projection(kinds, {"k": Order(("e",), ())})
    (decision,) = projection.step(by_hand(scores))
    assert (decision.label, decision.kept) == ("e", ("b",))
    assert decision.scores == {"a": 61.0, "b": 58.2, "c": 60.1}
    assert projection.restrictions() == {"e": Only((1,))}


def test_of_operations_that_are_missed_alike_the_first_is_kept() -> None:
    kinds = {"k": Kind({"e": {"a": 0, "b": 1, "c": 2}}, {})}
    scores = {Without(0): 60.0, Without(1): 58.0, Without(2): 58.0}
    (decision,) = Projection(kinds, {"k": Order(("e",), ())}).step(by_hand(scores))
    assert decision.kept == ("b",)


def three_edges(keeps: int) -> tuple[dict[str, Kind], dict[str, Order]]:
    kind = Kind({e: {"o": 0} for e in "pqr"}, {"n": Node(("p", "q", "r"), keeps)})
    return {"k": kind}, {"k": Order(("p", "q", "r"), ("n",))}


@pytest.mark.parametrize(
    ("scores", "keeps", "kept"),
    [
        ({"p": 55.0, "q": 57.1, "r": 56.3}, 2, ("p", "r")),
        ({"p": 55.0, "q": 57.1, "r": 56.3}, 1, ("p",)),
        ({"p": 55.0, "q": 57.0, "r": 57.0}, 2, ("p", "q")),  # the last one on ties
    ],
)
def test_a_node_loses_the_edge_that_is_missed_least(
    scores: dict[str, float], keeps: int, kept: tuple[str, ...]
) -> None:
    def evaluate(masked: Mapping[str, Restriction]) -> float:
        gone = [edge for edge, restriction in masked.items() if restriction == Only(())]
        return scores[gone[0]] if gone else 50.0

    projection = Projection(*three_edges(keeps))
    for _ in range(4):
        projection.step(evaluate)
    assert projection.steps_taken == projection.steps == 4
    assert projection.decisions[-1].kept == kept
    assert projection.restrictions() == {e: Only((0,)) if e in kept else Only(()) for e in "pqr"}


def test_each_is_measured_with_the_decisions_before_it() -> None:
    kinds, order = three_edges(2)
    kinds["l"] = Kind({"s": {"o": 0, "z": 1}}, {})
    order["l"] = Order(("s",), ())
    seen: list[dict[str, Restriction]] = []

    def evaluate(masked: Mapping[str, Restriction]) -> float:
        seen.append(dict(masked))
        return -float(len(seen))

    projection = Projection(kinds, order)
    for _ in range(4):
        projection.step(evaluate)
    one = Only((0,))
    z = {"s": Only((1,))}
    assert seen == [
        {"p": Without(0)},
        {"p": one, "s": Without(0)},
        {"p": one, "s": Without(1)},
        {"p": one, "q": Without(0)} | z,
        {"p": one, "q": one, "r": Without(0)} | z,
        {"p": Only(()), "q": one, "r": one} | z,
        {"p": one, "q": Only(()), "r": one} | z,
        {"p": one, "q": one, "r": Only(())} | z,
    ]


def test_it_goes_on_from_decisions_as_if_it_had_not_stopped() -> None:
    rows = np.random.default_rng(0).normal(size=(14, 3)).tolist()
    kinds = {"cell": kind_of("cell", rows, True)}
    formula = Formula({"criterion": "acc"}, {"cell": rows}, {"cell": rows[::-1]})
    order = drawn(kinds, Random(3))
    whole = Projection(kinds, order)
    for _ in range(whole.steps):
        whole.step(formula)
    for done in (0, 5, 14, 16):
        steps = Projection(kinds, order, whole.decisions[:done])
        assert steps.steps_taken == done
        for _ in range(steps.steps - done):
            steps.step(formula)
        assert steps.decisions == whole.decisions


def test_the_order_is_the_seed_s() -> None:
    kinds = {"a": kind_of("a", [[0.0, 0.0]] * 14, True)}
    orders = [drawn(kinds, Random(seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]["a"].edges) == sorted(kinds["a"].operations)
    assert sorted(orders[0]["a"].nodes) == sorted(kinds["a"].open_nodes)
    assert orders[0]["a"].edges != tuple(kinds["a"].operations)
