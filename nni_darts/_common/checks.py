"""Checks of arguments that more than one module makes: each gives the value, in Python's own type.

Numbers of numpy are taken for what they are; a bool, numpy's too, is no number.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Collection, Iterable, Sized
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from nni_darts._common.limits import PATH_BYTES
from nni_darts._common.messages import shown, unknown

T = TypeVar("T")


def whole(
    name: str, value: object, least: int, most: float = math.inf, *, limit: float = math.inf
) -> int:
    """The value; ValueError unless it is a whole number of the range.

    Args:
        name: name of the argument, for the message.
        value: the argument as it was given.
        least: lower bound.
        most: upper bound.
        limit: absurd size, beyond which a number is taken for a slip of the keyboard.
    """
    number = _index(value)
    if number is None or not least <= number <= most:
        allowed = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {shown(value)}")
    if number > limit:
        raise ValueError(f"{name} must be at most {limit}, got {shown(value)}")
    return number


def size(name: str, value: object, least: float, most: float, came: str = "") -> int:
    """The value; ValueError unless it is a whole number from `least` to `most`.

    Args:
        name: name of the argument, for the message.
        value: the argument as it was given.
        least: smallest value that makes sense.
        most: largest value that is no slip of the keyboard.
        came: words that stand before the value in the message.
    """
    number = _index(value)
    if number is None:
        bound = f" of at least {least}" if least > -math.inf else ""
        raise ValueError(f"{name} must be a whole number{bound}, got {came}{shown(value)}")
    if not least <= number <= most:
        bound = f"at least {least}" if number < least else f"at most {most}"
        raise ValueError(f"{name} must be {bound}, got {came}{shown(value)}")
    return number


def _index(value: object) -> int | None:
    try:
        return None if _is_truth(value) else operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):  # the last two: of a tensor
        return None


def _is_truth(value: object) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


@dataclass(frozen=True)
class Range:
    """Numbers that are allowed, and how that is said after "must be"."""

    words: str
    holds: Callable[[float], bool]


POSITIVE = Range("positive", lambda x: x > 0)
NOT_NEGATIVE = Range("at least 0", lambda x: x >= 0)
PROBABILITY = Range("in [0, 1)", lambda x: 0 <= x < 1)
SHARE = Range("a number of at least 0 and below 1", PROBABILITY.holds)
CLIP = Range("positive, or None for no clipping", POSITIVE.holds)


def number(name: str, value: object, allowed: Range) -> float:
    """The value; ValueError unless it is a finite number of the range."""
    if not isinstance(value, Real) or _is_truth(value):
        kind = "" if allowed.words.startswith("a number") else "a number, "
        raise ValueError(f"{name} must be {kind}{allowed.words}, got {shown(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not allowed.holds(found):
        raise ValueError(f"{name} must be {allowed.words}, got {shown(value)}")
    if math.isinf(found):
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    return found


def share(name: str, value: object) -> float:
    """The value; ValueError unless it is a number from 0 on and below 1."""
    return number(name, value, SHARE)


def truth(name: str, value: object) -> bool:
    """The value; ValueError unless it is True or False: 1 and "no" are neither."""
    if not _is_truth(value) or len(getattr(value, "shape", [])) > 0:
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def text(name: str, value: object) -> str:
    """The value; ValueError unless it is a text, and not an empty one."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text, got {shown(value)}")
    return value


def choice(name: str, value: object, known: Iterable[str]) -> str:
    """The value; ValueError, with the nearest known one, unless it is a text among them."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(unknown(name, value, known))
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """The value as a tuple; ValueError unless it is a collection of texts, and not itself one."""
    if isinstance(value, str) or not isinstance(value, Collection):
        raise ValueError(f"{name} must be a list of names, got {shown(value)}")
    for item in value:
        if not isinstance(item, str):
            raise ValueError(f"{name} must be a list of names, got {shown(item)} in it")
    return tuple(value)


def as_path(name: str, value: object) -> Path:
    """The value as a path; ValueError for what can be none."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path:
        raise ValueError(f"{name} must be a path, got {shown(value)}")
    if "\0" in path:
        raise ValueError(f"{name} {shown(path)}: a path cannot have a null byte")
    if len(os.fsencode(path)) > PATH_BYTES:
        raise ValueError(f"{name} {shown(path)}: a path cannot be longer than {PATH_BYTES} bytes")
    return Path(path)


def instance(name: str, value: object, kind: type[T], wanted: str) -> T:
    """The value; TypeError unless it is of a type.

    Args:
        name: name of the argument, for the message.
        value: the argument as it was given.
        kind: the type.
        wanted: description of the type, for the message.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}")
    return value


def function(name: str, value: object) -> Callable[..., Any]:
    """The value; TypeError unless it can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {shown(value)}")
    return value


def several(name: str, value: object, kind: type[T], wanted: str) -> list[T]:
    """The items of a list; TypeError unless each is of a type.

    What can be gone through only once is refused: the second time it would be empty.
    """
    if (
        not isinstance(value, Iterable)
        or not isinstance(value, Sized)
        or isinstance(value, str | bytes)
        or hasattr(value, "dtype")  # a tensor or an array, whose items are such, too
    ):
        raise TypeError(f"{name} must be a list of {wanted}, got {shown(value)}")
    items = list(value)
    for item in items:
        if not isinstance(item, kind):
            raise TypeError(f"{name} must be a list of {wanted}, got {shown(item)} in it")
    return items
