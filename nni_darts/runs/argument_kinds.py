"""Check of a value against the kind that an annotation asks for; YAML and JSON have few kinds.

What an annotation leaves open, or has beyond these kinds, is not judged.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

_LISTS = (list, tuple, Sequence, Collection, Iterable)
_PATHS = (os.PathLike, Path)
_MAPPINGS = (dict, Mapping)
_PLAIN: Mapping[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a text", (str,)),
    None: ("nothing", (types.NoneType,)),
    types.NoneType: ("nothing", (types.NoneType,)),
}


def of(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of a function's parameters; none where they cannot be evaluated."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # a name that only type checkers see, say
        return {}


def expected(value: object, annotation: Any) -> str | None:
    """Description of the kind that is expected; None if the value is right, or is not judged."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        words, kinds = _PLAIN[annotation]
        # For Python, true is a number.
        flag = isinstance(value, bool) and bool not in kinds
        return words if flag or not isinstance(value, kinds) else None
    if origin is Literal:
        right = any(type(value) is type(each) and value == each for each in arguments)
        return None if right else f"one of {', '.join(map(repr, arguments))}"
    if origin in (Union, types.UnionType):
        found = [expected(value, each) for each in arguments]
        return None if None in found else " or ".join(dict.fromkeys(map(str, found)))
    if annotation in _PATHS or origin in _PATHS:
        return None if isinstance(value, str | os.PathLike) else "a path"
    if annotation in _LISTS or origin in _LISTS:
        return _of_list(value, arguments)
    if annotation in _MAPPINGS or origin in _MAPPINGS:
        return _of_mapping(value, arguments)
    return None


def _of_list(value: object, arguments: tuple[Any, ...]) -> str | None:
    if not isinstance(value, list | tuple):
        return "a list"
    if len(arguments) == 1 or arguments[1:] == (...,):
        for item in value:
            if (words := expected(item, arguments[0])) is not None:
                return f"a list, each item {words}"
    return None


def _of_mapping(value: object, arguments: tuple[Any, ...]) -> str | None:
    if not isinstance(value, dict):
        return "keys with values"
    if len(arguments) == 2:
        for item in value.values():
            if (words := expected(item, arguments[1])) is not None:
                return f"keys with values, each {words}"
    return None
