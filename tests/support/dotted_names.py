"""The objects that dotted names lead to."""

from __future__ import annotations

import importlib


def resolve(name: str) -> object:
    """The object that a dotted name leads to; AttributeError if there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            fields = getattr(found, "__annotations__", {})
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise AttributeError(f"no module {parts[0]}")
