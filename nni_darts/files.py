"""Files that are written and read as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class DamagedError(ValueError):
    """A file does not hold what it should: a predicate, to be put after the file's name."""


def write(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader, a crash or a power cut never meets half of it.

    Raises:
        OSError: it cannot be written; the file before it is whole, and nothing else is left.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes | memoryview, keep: str | None = None) -> None:
    """The same for bytes.

    Args:
        path: the file.
        content: what it will hold.
        keep: the name, in the same folder, under which the file before it is kept.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            # Else a power cut could leave the new name on an empty file.
            os.fsync(file.fileno())
        if keep is not None and path.is_file():
            path.replace(path.with_name(keep))
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def read_json(path: Path, kind: type[T]) -> T:
    """What a JSON file holds.

    Raises:
        DamagedError: it is not JSON, or holds something else than a `kind`.
        OSError: it cannot be read.
    """
    return parse_json(path.read_bytes(), kind)


def parse_json(text: str | bytes, kind: type[T]) -> T:
    """A value of a `kind` from JSON. Raises DamagedError."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedError("is damaged: it is not JSON") from None
    if not isinstance(value, kind):
        raise DamagedError(f"is damaged: it holds a {type(value).__name__}")
    return value


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written to a folder, which need not exist yet; None where it can."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is not a folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"nothing can be written to {nearest}; choose another folder or change its rights"
    return None
