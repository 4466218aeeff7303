"""Keys of an experiment file that NNI defines, with their kinds as far as they are checked here.

NNI itself names a class and a type where a user wrote a key; and it lets some values through that
end the experiment later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from nni_darts._common import limits
from nni_darts._common.fields import Flag, Folder, Text, Whole
from nni_darts._common.messages import shown, unknown
from nni_darts._common.validation import Frozen, SettingsError, validated

_DURATION = re.compile(r"(\d{1,9}|\d{0,9}\.\d{1,9})\s*[smhd]", re.ASCII | re.IGNORECASE)


def _duration(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9
    if not (value is None or whole or (isinstance(value, str) and _DURATION.fullmatch(value))):
        raise ValueError(f"must be a time such as 30m, 12h or 2d, got {shown(value)}")
    return value


def _service(value: Any) -> Any:
    each = value if isinstance(value, list) and value else [value]
    if value is not None and not all(isinstance(service, dict) for service in each):
        raise ValueError(f"must be keys with values, as in {{platform: local}}, got {shown(value)}")
    return value


Duration = Annotated[Any, BeforeValidator(_duration)]


class Algorithm(Frozen):
    """A tuner or an assessor."""

    name: Text | None = None
    className: Text | None = None
    codeDirectory: Folder | None = None
    classArgs: dict[str, Any] | None = None


class ExperimentKeys(Frozen):
    """Keys of an experiment file as far as NNI reads it."""

    experimentName: Text | None = None
    experimentType: Literal["hpo"] = "hpo"
    searchSpaceFile: Any = None
    searchSpace: Any = None
    trialCommand: Text | None = None
    trialCodeDirectory: Folder = "."
    trialConcurrency: Annotated[Whole, Field(ge=1, le=limits.CONCURRENCY)] = 1
    trialGpuNumber: Annotated[Whole, Field(ge=0, le=limits.DEVICES)] | None = None
    maxExperimentDuration: Duration = None
    maxTrialNumber: Whole | None = None
    maxTrialDuration: Duration = None
    nniManagerIp: Text | None = None
    useAnnotation: Flag = False
    debug: Flag = False
    logLevel: Literal["fatal", "error", "warning", "info", "debug", "trace"] | None = None
    experimentWorkingDirectory: Folder = "~/nni-experiments"
    tunerGpuIndices: Any = None
    tuner: Algorithm
    assessor: Algorithm | None = None
    advisor: Any = None
    trainingService: Annotated[Any, BeforeValidator(_service)] = None
    sharedStorage: dict[str, Any] | None = None

    @field_validator("useAnnotation")
    @classmethod
    def _not_annotated(cls, value: bool) -> bool:
        if value:
            raise ValueError("must be false or left out: the trial is not annotated code, got True")
        return value

    @field_validator("searchSpaceFile")
    @classmethod
    def _no_file(cls, value: Any) -> Any:
        if value is not None:
            raise ValueError(
                "must be left out: the space is tuner.classArgs.space; put searchSpace: {} "
                f"instead, got {shown(value)}"
            )
        return value

    @field_validator("searchSpace")
    @classmethod
    def _searched_inside(cls, value: Any) -> Any:
        if value is not None and value != {}:
            raise ValueError(
                "must be {}: the architecture is searched inside a trial, and the space is "
                f"tuner.classArgs.space, got {shown(value)}"
            )
        return value

    @field_validator("advisor")
    @classmethod
    def _no_advisor(cls, value: Any) -> Any:
        if value is not None:
            raise ValueError(f"must be left out: the tuner does its work, got {shown(value)}")
        return value


def canonical(values: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Values with the keys as NNI documents them; it takes `trial_command`, too.

    Raises:
        SettingsError: for unknown keys, or two spellings of one.
    """
    names = {_plain(name): name for name in known}
    found: dict[str, str] = {}
    problems = []
    for given in values:
        name = names.get(_plain(given))
        if name is None:
            problems.append(f"{given}: {unknown('key', given, names.values())}")
        elif name in found:
            problems.append(f"{given}: is the same key as {found[name]}; leave one of them out")
        else:
            found[name] = given
    if problems:
        raise SettingsError(problems)
    return {name: values[given] for name, given in found.items()}


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def require(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of an experiment file as NNI documents them, each of the right kind.

    Raises:
        SettingsError: a line per mistake.
    """
    named = canonical(values, ExperimentKeys.model_fields)
    for key in ("tuner", "assessor"):
        if isinstance(named.get(key), dict):
            try:
                named[key] = canonical(named[key], Algorithm.model_fields)
            except SettingsError as error:
                raise SettingsError([f"{key}.{problem}" for problem in error.problems]) from None
    validated(ExperimentKeys, named)
    return named
