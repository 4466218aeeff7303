"""Files that are never met half written, and folders that cannot be written to."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader, or a crash, never meets half of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


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
