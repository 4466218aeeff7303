"""Frozen settings, and their mistakes: one line for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from nni_darts._common.messages import shown, unknown
from nni_darts._common.redaction import redacted

MOST_LINES = 20
"""Mistakes that are reported at once."""
_MAPPING = "input should be keys with values, as in {key: value}"
_IN_YAML = {
    "model_type": _MAPPING,
    "dict_type": _MAPPING,
    "tuple_type": "input should be a list",
    "list_type": "input should be a list",
    "bool_type": "input should be true or false",
    "string_type": "input should be a text",
}
"""Pydantic's names of types, in words of YAML."""


class Frozen(BaseModel):
    """Base of settings: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T", bound=BaseModel)


class SettingsError(ValueError):
    """Settings that are wrong: one line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnavailableError(SettingsError):
    """Unavailable resource that the settings name: a download, a file, room on a disk."""


def validated(model: type[T], values: Mapping[str, Any]) -> T:
    """Settings of any kind. Raises SettingsError: a line per mistake, but not thousands."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        lines = [_line(model, problem) for problem in problems[:MOST_LINES]]
        if (more := len(problems) - MOST_LINES) > 0:
            lines.append(f"{more} more mistakes")
        raise SettingsError(lines) from None


def _line(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        parent = _model_at(model, location[:-1])
        return f"{key}: {unknown('key', location[-1], parent.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        # Ours: it says what came by itself, and about the settings as a whole also where.
        return f"{key}: {message}" if key else message
    if problem["type"] == "too_long":
        most, count = problem["ctx"]["max_length"], problem["ctx"]["actual_length"]
        return f"{key}: input should have at most {most} items, got {count}"
    message = _IN_YAML.get(problem["type"], message[0].lower() + message[1:])
    if problem["type"] == "missing":
        return f"{key}: {message}"
    return f"{key}: {message}, got {shown(redacted(problem['input'], key))}"


def _model_at(model: type[BaseModel], location: list[str]) -> type[BaseModel]:
    for name in location:
        annotation = model.model_fields[name].annotation
        options = (annotation, *get_args(annotation))  # of `Search | None`, too
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return model
