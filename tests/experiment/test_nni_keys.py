from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.experiment import nni_keys

GOOD: dict[str, Any] = {"searchSpace": {}, "tuner": {"className": "a.B", "classArgs": {"b": 1}}}


def required(**changes: Any) -> dict[str, Any]:
    return nni_keys.require({**GOOD, **changes})


def test_the_keys_come_as_nni_documents_them() -> None:
    given = {"trial_command": "x", "TUNER": {"class_name": "a", "classargs": {"some_key": 1}}}
    assert nni_keys.require(given) == {
        "trialCommand": "x",
        # What is in them is the tuner's own.
        "tuner": {"className": "a", "classArgs": {"some_key": 1}},
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxExperimentDuration", "1.5 H"),
        ("maxExperimentDuration", ".5d"),
        ("maxTrialDuration", 60),
        ("maxTrialDuration", None),
        ("searchSpace", {}),
        ("advisor", None),
        ("useAnnotation", False),
        ("trialConcurrency", 10_000),
        ("trainingService", [{"platform": "local"}]),
    ],
)
def test_what_is_right_stays_as_it_is(key: str, value: Any) -> None:
    assert required(**{key: value}) == {**GOOD, key: value}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"maxTrialDuration": "soon"}, "must be a time such as 30m, 12h or 2d, got 'soon'"),
        ({"maxTrialDuration": "1.h5"}, "must be a time such as 30m, 12h or 2d, got '1.h5'"),
        ({"maxTrialDuration": 0}, "must be a time such as 30m, 12h or 2d, got 0"),
        ({"maxTrialDuration": True}, "must be a time such as 30m, 12h or 2d, got True"),
        (
            {"useAnnotation": True},
            "must be false or left out: the trial is not annotated code, got True",
        ),
        (
            {"searchSpaceFile": "x"},
            "must be left out: the space is tuner.classArgs.space; put searchSpace: {} instead, "
            "got 'x'",
        ),
        (
            {"searchSpace": {"a": 1}},
            "must be {}: the architecture is searched inside a trial, and the space is "
            "tuner.classArgs.space, got {'a': 1}",
        ),
        ({"advisor": {}}, "must be left out: the tuner does its work, got {}"),
        (
            {"trainingService": "local"},
            "must be keys with values, as in {platform: local}, got 'local'",
        ),
        ({"trainingService": []}, "must be keys with values, as in {platform: local}, got []"),
        ({"trialConcurrency": 0}, "input should be greater than or equal to 1, got 0"),
        ({"trialGpuNumber": -1}, "input should be greater than or equal to 0, got -1"),
        ({"experimentType": "nas"}, "input should be 'hpo', got 'nas'"),
    ],
)
def test_a_value_that_nni_would_let_through(
    changes: dict[str, Any], expected: str, message: Callable[..., str]
) -> None:
    (key,) = changes
    assert message(SettingsError, required, **changes) == f"{key}: {expected}"


def test_unknown_keys(message: Callable[..., str]) -> None:
    said = message(SettingsError, required, trialCommnd="x")
    assert said.startswith("trialCommnd: unknown key 'trialCommnd'; did you mean 'trialCommand'? (")
    for part in ("tuner", "assessor"):
        assert message(SettingsError, required, **{part: {"classNam": "a"}}) == (
            f"{part}.classNam: unknown key 'classNam'; did you mean 'className'? "
            "(known: name, className, codeDirectory, classArgs)"
        )


def test_two_spellings_of_one_key_are_told_beside_other_mistakes() -> None:
    with pytest.raises(SettingsError) as caught:
        nni_keys.canonical({"max_trials": 1, "maxTrials": 2, "x": 3}, ["maxTrials", "tuner"])
    assert caught.value.problems == [
        "maxTrials: is the same key as max_trials; leave one of them out",
        "x: unknown key 'x' (known: maxTrials, tuner)",
    ]
