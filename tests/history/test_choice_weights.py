from __future__ import annotations

import json
from typing import Any

import pytest

from nni_darts._common.metric import ACCURACY
from nni_darts.history.choice_weights import NAMES, choices_of
from nni_darts.history.epoch import alphas_of, gaps
from nni_darts.runs.reporter import search_metrics, short_keys


def report(probabilities: dict[str, dict[Any, float]], epoch: int = 0) -> dict[str, Any]:
    return {"default": 0.5, "epoch": epoch, **search_metrics({}, ACCURACY, probabilities)}


ALIKE: dict[str, dict[Any, float]] = {
    "encoder_stage1_operation": {"conv_3x3_relu": 0.25, "conv_5x5_relu": 0.75},
    "encoder_stage2_operation": {"conv_3x3_relu": 0.5, "conv_5x5_relu": 0.5},
    "two words < three": {1: 0.1, 2: 0.9},
    "depth": {1: 0.25, 2: 0.25, 3: 0.5},
    "normal_layer_choice": {"max_pool_3x3": 0.125, "a b": 0.875},
}
"""Labels that a key of twelve characters does not tell apart, or would take for others."""


def test_every_choice_is_read_back_by_its_whole_names() -> None:
    expected = {k: {str(c): p for c, p in row.items()} for k, row in ALIKE.items()}
    found = choices_of(report(ALIKE))
    assert found == expected
    assert [list(row) for row in found.values()] == [list(row) for row in expected.values()]
    assert alphas_of(report(ALIKE)) == {}
    assert gaps([report(ALIKE)]) == []


def test_forty_labels_that_are_cut_alike() -> None:
    labels = {f"backbone_{i}_kernel": {f"candidate_{j}": 0.1 for j in range(10)} for i in range(40)}
    keys = short_keys({label: list(row) for label, row in labels.items()})
    assert len(set(keys.values())) == 400
    assert max(map(len, keys.values())) <= 12
    assert choices_of(report(labels)) == labels


def test_a_choice_of_thousands_keeps_its_label() -> None:
    keys = short_keys({"long_label_of_values": list(range(100_000, 103_000))})
    assert len(set(keys.values())) == 3_000
    assert {key.partition(" ")[0] for key in keys.values()} == {"lon.ues"}


def test_blank_candidates_have_a_name() -> None:
    rows = {"x": {"": 0.5, " ": 0.5}}
    assert choices_of(report(rows)) == {"x": {"": 0.5, " ": 0.5}}


def test_nothing_is_added_where_the_keys_say_all() -> None:
    plain = report({"normal_2_0": {"sep_conv_3x3": 0.5, "none": 0.5}, "x": {"a": 0.5, "b": 0.5}})
    assert NAMES not in plain
    assert choices_of(plain) == {"x": {"a": 0.5, "b": 0.5}}
    assert list(alphas_of(plain)) == ["normal"]


def test_two_candidates_that_are_written_alike_stay_two() -> None:
    found = choices_of(report({"choice_of_numbers": {1: 0.25, "1": 0.75}}))
    assert list(found["choice_of_numbers"].values()) == [0.25, 0.75]


@pytest.mark.parametrize(
    "names",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"enc.ion": 1}',
        '{"enc.ion": ["x"]}',
        '{"a":["x",{}]',
        "{" * 9_999,
        float("nan"),
        3,
        '{"enc.ion":["same",{}],"enc.i~2":["same",{}]}',
    ],
)
def test_damaged_names_leave_the_short_ones(names: Any) -> None:
    found = choices_of({**report(ALIKE), NAMES: names})
    assert found["enc.ion"] == {"conv": 0.25, "co~2": 0.75}
    assert len(found) == len(ALIKE)


@pytest.mark.parametrize(
    "values",
    [
        {"x a": 0.5},  # the rest of the row was cut
        {"x a": 0.5, "x b": None},
        {"x a": 0.5, "x b": "?"},
        {"x a": 0.5, "x b": float("nan")},
        {"x a": 3.0},
        {"x a": True},
        {"val accuracy": 0.7, "x": 1.0},  # no weight at all
    ],
)
def test_what_is_no_choice(values: dict[str, Any]) -> None:
    assert choices_of({"epoch": 0, **values}) == {}


def test_gaps_of_choices() -> None:
    made = [report(ALIKE, epoch) for epoch in range(4)]
    del made[2]["depth 1"], made[1]
    assert gaps(made) == ["no report of epoch 2", "weights are missing in epoch 3"]


def test_the_names_are_json() -> None:
    assert json.loads(report({"a_long_label": {"x": 1.0}})[NAMES]) == {
        "a_l.bel": ["a_long_label", {"x": "x"}]
    }
