"""The rule of Robust-DARTS on series of numbers, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nni_darts._common.validation import SettingsError, validated
from nni_darts.search.early_stop import EarlyStop, Turn, Value


def series(*numbers: float, every: int = 1) -> list[Value]:
    """Values of epochs `every` apart, the first after `every` epochs."""
    return [Value((i + 1) * every - 1, number) for i, number in enumerate(numbers)]


RULE = EarlyStop(after=0)


def test_the_published_rule() -> None:
    rule = EarlyStop()
    assert (rule.window, rule.lag, rule.ratio, rule.needed) == (5, 5, 0.75, 10)


def test_a_turn_by_hand() -> None:
    # Means 0.2 of the epochs 0-4 and 0.3 of 5-9: 0.2 / 0.3 < 0.75, and the middle of 0-4 is 2.
    values = series(0.1, 0.2, 0.3, 0.2, 0.2, 0.3, 0.3, 0.4, 0.2, 0.3)
    turn = RULE.reached(values)
    assert turn is not None
    assert (turn.epoch, turn.back) == (9, 2)
    assert (turn.before, turn.now) == (pytest.approx(0.2), pytest.approx(0.3))
    assert turn.text == (
        "the mean largest eigenvalue of the Hessian of L_val is 0.3, from 0.2 around epoch 3"
    )
    assert RULE.reached(values[:-1]) is None
    # 0.2 / 0.26 = 0.77.
    assert RULE.reached(series(*[0.2] * 5, *[0.26] * 5)) is None
    assert RULE.reached(series(*[0.2] * 5, *[0.27] * 5)) is not None


def test_only_the_last_values_count() -> None:
    assert RULE.reached(series(*[0.01] * 9, *[0.2] * 10)) is None
    turn = RULE.reached(series(*[9.0] * 9, *[0.2] * 5, *[0.3] * 5))
    assert turn is not None
    assert (turn.epoch, turn.back) == (18, 11)


def test_windows_may_overlap() -> None:
    # The code's lag of 4 with its window of 5: the windows share a value.
    rule = EarlyStop(window=5, lag=4, ratio=1 / 1.3, after=0)
    turn = rule.reached(series(*[0.1] * 4, 0.2, *[0.3] * 4))
    assert turn is not None
    assert (turn.before, turn.now) == (pytest.approx(0.6 / 5), pytest.approx(1.4 / 5))
    assert turn.back == 2


def test_values_are_counted_not_epochs() -> None:
    # With a value every 2 epochs the script's window of 5 values is of 10 epochs, its lag of 8.
    rule = EarlyStop(window=5, lag=4, ratio=1 / 1.3)
    values = series(*[0.1] * 10, *[1.0] * 4, every=2)
    turn = rule.reached(values)
    assert turn == Turn(27, 15, pytest.approx(0.1), pytest.approx(4.1 / 5))


def test_it_does_not_go_back_to_the_first_epochs() -> None:
    values = series(*[0.1] * 13, *[0.3] * 5)
    for last, back in ((17, 10), (16, None)):
        turn = EarlyStop(after=10).reached(values[: last + 1])
        assert (turn and turn.back) == back
    assert EarlyStop(after=11).reached(values) is None


def test_what_has_not_grown() -> None:
    falls = [1.0, 0.5, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01, 0.005]
    assert RULE.reached(series(*falls)) is None
    # -0.4 / -0.2 > 0.75, and -0.1 / -0.4 < 0.75 is no growth.
    assert RULE.reached(series(*[-0.4] * 5, *[-0.2] * 5)) is None
    assert RULE.reached(series(*[-0.1] * 5, *[-0.4] * 5)) is None
    assert RULE.reached(series(*[-0.1] * 5, *[0.1] * 5)) is not None


def test_gaps_are_left_out() -> None:
    values = series(*[0.2] * 3, math.nan, *[0.2] * 2, *[0.3] * 2, math.inf, *[0.3] * 3)
    turn = RULE.reached(values)
    assert turn is not None
    assert (turn.epoch, turn.back) == (11, 2)
    assert RULE.reached(values[:-1]) is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ratio": 1.3}, "ratio"),
        ({"ratio": 0}, "ratio"),
        ({"window": 0}, "window"),
        ({"lag": 0}, "lag"),
        ({"after": -1}, "after"),
        ({"windov": 5}, "did you mean 'window'?"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validated(EarlyStop, options)
    (problem,) = caught.value.problems
    assert expected in problem
