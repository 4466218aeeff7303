"""Classes by their path, package.module.Class, of which many are the user's own."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from nni_darts._common.messages import shown, unknown
from nni_darts._common.validation import SettingsError


def is_path(name: str) -> bool:
    """True if a name is a path, by its form."""
    return "." in name and all(map(str.isidentifier, name.split(".")))


def imported(path: str, base: type) -> type:
    """The class at a path.

    Args:
        path: package.module.Class.
        base: what it must be a subclass of.

    Raises:
        ValueError: in one line, there is no such class.
    """
    if not is_path(path):
        raise ValueError(f"expected package.module.Class, got {shown(path)}")
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"cannot import {module_name!r}: {error}") from None
    except (Exception, SystemExit) as error:  # it is the user's
        raise ValueError(f"cannot import {module_name!r}: {with_place(error)}") from None
    if not hasattr(module, name):
        known = _own_classes(module, base)
        raise ValueError(unknown(f"class in {module_name}", name, known))
    found = getattr(module, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{path} must be a subclass of {base.__name__}")
    return found


def class_at(key: str, what: str, path: Any, base: type, short: Iterable[str] | None = None) -> Any:
    """The class of that path; its module is imported.

    Args:
        key: that holds the path, for errors.
        what: the class is, in a word.
        path: `package.module.Class`.
        base: what it must derive from.
        short: names that may stand there instead of a path; None where there are none.

    Raises:
        SettingsError: there is no such class, or it cannot be imported.
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        words = "package.module.Class" if short is None else "a short name or package.module.Class"
        raise SettingsError([f"{key}: must be {words}, got {shown(path)}"])
    if not is_path(path):
        hint = "or give an importable package.module.Class"
        raise SettingsError([f"{key}: {unknown(what, path, short or ())}; {hint}"])
    try:
        return imported(path, base)
    except ValueError as error:
        raise SettingsError([f"{key}: {error}"]) from None


def with_place(error: BaseException) -> str:
    """An exception of a user's own code, and the line that raised it."""
    places = traceback.extract_tb(error.__traceback__)
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return f"{text} ({places[-1].filename}, line {places[-1].lineno})" if places else text


def _own_classes(module: ModuleType, base: type) -> list[str]:
    """Names of the classes of a kind that a module defines, or lists in its `__all__`."""
    offered = set(getattr(module, "__all__", ()))
    return sorted(
        name
        for name in {*vars(module), *offered}
        # What is offered may be made at first use only.
        if isinstance(value := vars(module).get(name, base if name in offered else None), type)
        and issubclass(value, base)
        and (name in offered or f"{value.__module__}.".startswith(f"{module.__name__}."))
    )
