"""Schedules: their numbers by hand, and what of the parts of a method has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from nni_darts._common.checks import POSITIVE
from nni_darts._common.schedule import (
    Linear,
    Moment,
    Schedule,
    Scheduled,
    WarmUp,
    as_number,
    falling,
    scheduled,
)


@dataclass(frozen=True)
class Part(Scheduled):
    tau: float | Schedule
    name: str = "part"


def values(schedule: Schedule, epochs: int) -> list[float]:
    return [schedule(Moment(epoch, epochs)) for epoch in range(epochs)]


def test_a_line_tends_to_its_end_or_reaches_it() -> None:
    assert values(Linear(0, 50), 4) == [0, 12.5, 25, 37.5]
    assert values(Linear(10, 1, reached=True), 4) == [10, 7, 4, 1]
    assert values(Linear(10, 1, reached=True), 1) == [10]


def test_warm_up_rests_for_its_epochs() -> None:
    assert values(WarmUp(2), 4) == [0, 0, 1, 1]
    assert values(WarmUp(0), 2) == [1, 1]
    assert (WarmUp(0).bounds(), WarmUp(1).bounds()) == ((1, 1), (0, 1))


def test_warm_up_takes_epochs(message: Any) -> None:
    assert message(ValueError, WarmUp, -1) == "epochs must be at least 0, got -1"


def test_a_part_at_a_moment_has_numbers() -> None:
    part = Part(Linear(10, 0, reached=True))
    assert part.changes
    assert part.at(Moment(1, 5)) == Part(7.5)
    assert not part.at(Moment(1, 5)).changes
    constant = Part(3.0)
    assert not constant.changes
    assert constant.at(Moment(1, 5)) is constant


def test_a_part_that_is_no_dataclass_does_not_change() -> None:
    class Mine(Scheduled):
        pass

    mine = Mine()
    assert mine.at(Moment(0, 1)) is mine
    assert not mine.changes


def test_what_a_user_may_give() -> None:
    assert scheduled("tau", 2, POSITIVE) == 2.0
    assert scheduled("tau", [10, 0.1], POSITIVE) == Linear(10.0, 0.1)
    assert scheduled("tau", (10, 0.1), POSITIVE, reached=True) == Linear(10.0, 0.1, True)
    own = Linear(3, 2, reached=True)
    assert scheduled("tau", own, POSITIVE) is own


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("high", "tau must be a number, positive, got 'high'"),
        ([10, 0], "tau must be positive, got 0"),
        (Linear(0, 1), "tau must be positive, got 0"),
        (
            [10, 1, 0.1],
            "tau must be a number, or [start, end] for one that changes with the epochs, got "
            "[10, 1, 0.1]",
        ),
    ],
)
def test_what_a_user_may_not_give(value: Any, expected: str, message: Any) -> None:
    assert message(ValueError, scheduled, "tau", value, POSITIVE) == expected


def test_what_must_fall(message: Any) -> None:
    for good in (1.0, Linear(10, 0.1), Linear(1, 1)):
        assert falling("tau", good) is good
    text = message(ValueError, falling, "tau", Linear(0.1, 10))
    assert text == "tau must fall, or stay, from start to end, got 0.1 to 10"


def test_a_schedule_is_no_number(message: Any) -> None:
    assert as_number(2.5) == 2.5
    assert "has no value but at a moment" in message(TypeError, as_number, Linear(1, 2))
