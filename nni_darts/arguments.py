"""Checks of arguments that more than one module makes."""

from __future__ import annotations

import math


def whole(name: str, value: object, least: int, most: float = math.inf) -> int:
    """The value; ValueError unless it is a whole number of the range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        allowed = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {value!r}")
    return value
