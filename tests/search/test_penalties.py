from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from nni.nas.oneshot.pytorch.profiler import ExpectationProfilerPenalty
from nni.nas.profiler import ExpressionProfiler

from nni_darts.search.penalties import penalty_of


class Cost(ExpressionProfiler):
    def __init__(self) -> None:
        pass


COST = Cost()


def test_a_penalty_is_itself_and_none_is_none() -> None:
    penalty = ExpectationProfilerPenalty(COST, baseline=2.0)
    assert penalty_of(penalty) is penalty
    assert penalty_of(None) is None


def test_arguments_make_one() -> None:
    made = penalty_of({"profiler": COST, "baseline": -2, "scale": 0, "aggregate": "mul"})
    assert isinstance(made, ExpectationProfilerPenalty)
    assert made.profiler is COST
    assert (made.baseline, made.scale, made.aggregate) == (-2, 0, "mul")


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"basline": 1}, ValueError, "unknown argument of penalty: 'basline'; did you mean 'basel"),
        ({"baseline": 0}, ValueError, "penalty: baseline must be a number other than 0, got 0"),
        ({"baseline": float("nan")}, ValueError, "penalty: baseline must be a number other than 0"),
        ({"scale": float("nan")}, ValueError, "penalty: scale must be a number, got nan"),
        ({"nonlinear": "square"}, ValueError, "unknown penalty: nonlinear 'square'"),
        ({"aggregate": "sum"}, ValueError, "unknown penalty: aggregate 'sum'"),
        ({"profiler": 3}, TypeError, "penalty: profiler must be an expression profiler of NNI"),
    ],
    ids=str,
)
def test_bad_arguments(
    changes: dict[str, Any], kind: type[Exception], expected: str, message: Callable[..., str]
) -> None:
    given = {"profiler": COST, "baseline": 1.0, **changes}
    assert message(kind, penalty_of, given).startswith(expected)


@pytest.mark.parametrize(("given", "lacking"), [("baseline", "profiler"), ("profiler", "baseline")])
def test_what_a_penalty_lacks(given: str, lacking: str, message: Callable[..., str]) -> None:
    assert message(ValueError, penalty_of, {given: COST}) == (
        f"penalty lacks {lacking}; it needs profiler and baseline"
    )


def test_a_penalty_of_another_kind(message: Callable[..., str]) -> None:
    assert message(TypeError, penalty_of, 3) == (
        "penalty must be an ExpectationProfilerPenalty of NNI, or a dict of its arguments, got 3"
    )
    # One that was made is looked at, too.
    bad = ExpectationProfilerPenalty(COST, baseline=0.0)
    assert "penalty: baseline must be" in message(ValueError, penalty_of, bad)
