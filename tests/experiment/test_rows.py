from __future__ import annotations

import json
from typing import Any

import pytest

from experiments import A, evaluated, searched, selected
from nni_darts._common.files import DamagedError
from nni_darts.experiment import rows

RESULTS = [searched(0, (-3.0, A)), selected(A, 0.6), evaluated(A, 0, 0.96)]
NOTHING = object()


@pytest.mark.parametrize("result", RESULTS)
def test_what_ours_hand_in_is_taken(result: dict[str, Any]) -> None:
    rows.require_result(result)
    rows.require_result({**result, "new": ["of", "another", "version"], "default": float("nan")})


def damaged() -> list[tuple[int, str, Any]]:
    wrong: dict[str, list[Any]] = {
        "stage": [NOTHING, None, "serach", 1, []],
        "key": [NOTHING, None, "search", "search-x", "../search-0", 3, {}],
        "seed": [NOTHING, None, "0", -1, 1.5, True, 2**63, []],
        "default": [NOTHING, None, "0.5", [], True],
        "versions": [1, "[]", "x", None],
        "epochs": ["2", None, 2.5],
    }
    of_search = {
        "genotype_1": [NOTHING, None, "x", "[]", 3, "[" * 100_000],
        "score_1": [NOTHING, "x", None],
    }
    of_training = {
        "genotype": [NOTHING, None, "x", {}],
        "params": ["1", -3, [1]],
        "weights": [3, "x", None],
        "val_acc": ["0.5", None],
    }
    return [
        (number, name, value)
        for number, own in enumerate((of_search, of_training, of_training))
        for name, values in {**wrong, **own}.items()
        for value in values
    ]


@pytest.mark.parametrize(("number", "name", "value"), damaged())
def test_a_damaged_result(number: int, name: str, value: Any, message: Any) -> None:
    result = {k: v for k, v in RESULTS[number].items() if k != name}
    if value is not NOTHING:
        result[name] = value
    text = message(DamagedError, rows.require_result, result)
    assert text.startswith("is damaged: ")
    assert name in text


@pytest.mark.parametrize(
    "report",
    [{"epoch": "x"}, {"epoch": -1}, {"epoch": None}, {"default": "high"}, {"key": 3}],
)
def test_a_damaged_report(report: dict[str, Any], message: Any) -> None:
    assert message(DamagedError, rows.require_report, report).startswith("is damaged: ")
    rows.require_report({"epoch": 3, "default": 0.5, "key": "search-0", "n2<0 sep3": 0.1})


def test_values_are_json_once_or_twice(message: Any) -> None:
    assert rows.decode(json.dumps(json.dumps({"a": 1}))) == {"a": 1}
    assert rows.decode(json.dumps({"a": 1})) == {"a": 1}
    assert rows.decode("0.5") == 0.5
    for data in (None, 3, b"", "", "{", json.dumps("{")):
        assert message(DamagedError, rows.decode, data).startswith("is damaged: ")
