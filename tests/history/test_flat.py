from __future__ import annotations

import json
import math
from typing import Any

import pytest
from flat_reports import flat_report

from nni_darts.genotypes.cell import OPERATIONS
from nni_darts.history.flat import NAMES, from_flat
from nni_darts.history.gaps import gaps
from nni_darts.history.keys import short_keys
from nni_darts.history.record import Choices, Weights, place_of


def report(probabilities: dict[str, dict[Any, float]], epoch: int = 0) -> dict[str, Any]:
    return flat_report(epoch, 0.5, probabilities)


def cells_of(report: dict[str, Any]) -> Weights:
    return from_flat({"epoch": 0, **report}).cells


def choices_of(report: dict[str, Any]) -> Choices:
    return from_flat({"epoch": 0, **report}).choices


ALIKE: dict[str, dict[Any, float]] = {
    "encoder_stage1_operation": {"conv_3x3_relu": 0.25, "conv_5x5_relu": 0.75},
    "encoder_stage2_operation": {"conv_3x3_relu": 0.5, "conv_5x5_relu": 0.5},
    "two words < three": {1: 0.1, 2: 0.9},
    "depth": {1: 0.25, 2: 0.25, 3: 0.5},
    "normal_layer_choice": {"max_pool_3x3": 0.125, "a b": 0.875},
}
"""Labels that a key of twelve characters does not tell apart, or would take for others."""


def test_short_keys_are_read_back() -> None:
    labels = {
        "normal_2_0": list(OPERATIONS),
        "reduce_5_4": list(OPERATIONS),
        "recurrent_1_0": list(OPERATIONS),
    }
    keys = short_keys({place_of(label): names for label, names in labels.items()})
    row = {name: i / 100 for i, name in enumerate(OPERATIONS)}
    report = {key: row[name] for (_, name), key in keys.items()}
    assert cells_of({**report, "epoch": 3, "entropy": 0.1, "x y": 0.2}) == {
        "normal": {(2, 0): row},
        "reduce": {(5, 4): row},
        "recurrent": {(1, 0): row},
    }


def test_edges_come_by_node_and_source() -> None:
    keys = ["n3<2 skip", "n2<1 skip", "n10<0 skip", "n3<0 skip"]
    (edges,) = cells_of(dict.fromkeys(keys, 0.5)).values()
    assert list(edges) == [(2, 1), (3, 0), (3, 2), (10, 0)]


@pytest.mark.parametrize("key", ["n2<2 skip", "n1<0 skip", "x2<0 skip", "n2<0", "n200<0 skip"])
def test_what_is_no_edge_is_left_aside(key: str) -> None:
    assert cells_of({key: 0.5}) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 2.0, None, "x", ""])
def test_what_is_no_weight_is_left_aside(value: object) -> None:
    assert cells_of({"n2<0 skip": value, "n2<0 sep3": 1.0}) == {
        "normal": {(2, 0): {"sep_conv_3x3": 1.0}}
    }


def test_every_choice_is_read_back_by_its_whole_names() -> None:
    expected = {k: {str(c): p for c, p in row.items()} for k, row in ALIKE.items()}
    found = choices_of(report(ALIKE))
    assert found == expected
    assert [list(row) for row in found.values()] == [list(row) for row in expected.values()]
    assert cells_of(report(ALIKE)) == {}
    assert gaps([from_flat(report(ALIKE))]) == []


def test_blank_candidates_have_a_name() -> None:
    rows = {"x": {"": 0.5, " ": 0.5}}
    assert choices_of(report(rows)) == {"x": {"": 0.5, " ": 0.5}}


def test_nothing_is_added_where_the_keys_say_all() -> None:
    plain = report({"normal_2_0": {"sep_conv_3x3": 0.5, "none": 0.5}, "x": {"a": 0.5, "b": 0.5}})
    assert NAMES not in plain
    assert choices_of(plain) == {"x": {"a": 0.5, "b": 0.5}}
    assert list(cells_of(plain)) == ["normal"]


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


def test_the_names_are_json() -> None:
    assert json.loads(report({"a_long_label": {"x": 1.0}})[NAMES]) == {
        "a_l.bel": ["a_long_label", {"x": "x"}]
    }


def test_forty_labels_that_are_cut_alike() -> None:
    labels = {f"backbone_{i}_kernel": {f"candidate_{j}": 0.1 for j in range(10)} for i in range(40)}
    keys = short_keys({label: list(row) for label, row in labels.items()})
    assert len(set(keys.values())) == 400
    assert max(map(len, keys.values())) <= 12
    assert choices_of(report(labels)) == labels


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"default": 0.75, "train_acc": 0.5}, 0.75),
        ({"default": 0.75, "train_acc": 0.75}, None),  # trained without validation data
        ({"default": 0.75, "train_acc": 0.75, "val_acc": 0.75}, 0.75),
        ({"default": 61.2}, None),  # of an accuracy nothing
        ({"default": 61.2, "train_ppl": 50.0}, 61.2),
        ({"default": 61.2, "train_ppl": 61.2}, None),
        ({"default": 0.5, "train_ppl": 61.2}, None),
        ({"default": math.inf, "train_ppl": 61.2}, None),
        ({"default": math.nan}, None),
        ({"default": "?"}, None),
        ({}, None),
    ],
)
def test_the_validation_metric(report: dict[str, object], expected: float | None) -> None:
    assert from_flat({"epoch": 0, **report}).validation == expected
