from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError, field_validator, model_validator

from nni_darts._common.validation import MOST_LINES, Frozen, SettingsError, validated


class Inner(Frozen):
    epochs: int
    password: int = 0


class Outer(Frozen):
    inner: Inner | None = None
    rows: tuple[int, ...] = ()
    rate: float = 0.0

    @field_validator("rows")
    @classmethod
    def _even(cls, rows: tuple[int, ...]) -> tuple[int, ...]:
        if len(rows) % 2:
            raise ValueError(f"must be of an even length, got {len(rows)}")
        return rows

    @model_validator(mode="after")
    def _fit(self) -> Outer:
        if self.rows and self.inner is None:
            raise ValueError("rows need inner")
        return self


def test_what_is_right_is_frozen() -> None:
    made = validated(Outer, {"inner": {"epochs": 3}, "rows": [1, 2]})
    assert made == Outer(inner=Inner(epochs=3), rows=(1, 2))
    with pytest.raises(ValidationError):
        made.rate = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"iner": 1}, "iner: unknown key 'iner'; did you mean 'inner'? (known: inner, rows, rate)"),
        # The names are those of the settings inside, which may be left out.
        (
            {"inner": {"epochs": 1, "epoch": 1}},
            "inner.epoch: unknown key 'epoch'; did you mean 'epochs'? (known: epochs, password)",
        ),
        ({"inner": {}}, "inner.epochs: field required"),
        ({"inner": 3}, "inner: input should be keys with values, as in {key: value}, got 3"),
        ({"rows": 3}, "rows: input should be a list, got 3"),
        ({"rows": [1]}, "rows: must be of an even length, got 1"),
        ({"rows": [1, 2]}, "rows need inner"),
        ({"rate": float("inf")}, "rate: input should be a finite number, got inf"),
        (
            {"inner": {"epochs": 1, "password": "hunter2"}},
            "inner.password: input should be a valid integer, unable to parse string as an integer"
            ", got '(left out)'",
        ),
    ],
)
def test_a_mistake_is_a_line(
    values: dict[str, Any], expected: str, message: Callable[..., str]
) -> None:
    assert message(SettingsError, validated, Outer, values) == expected


def test_each_mistake_has_its_line_but_there_are_not_thousands() -> None:
    found = {}
    for count in (2, MOST_LINES, MOST_LINES + 2):
        with pytest.raises(SettingsError) as caught:
            validated(Outer, {"rows": ["x"] * count})
        found[count] = caught.value.problems
        assert str(caught.value).splitlines() == caught.value.problems
    assert [line.split(":")[0] for line in found[2]] == ["rows.0", "rows.1"]
    assert found[MOST_LINES][-1].startswith(f"rows.{MOST_LINES - 1}: ")
    assert found[MOST_LINES + 2] == [*found[MOST_LINES], "2 more mistakes"]
