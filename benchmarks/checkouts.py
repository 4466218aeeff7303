"""Import from a checkout of somebody else's project, with changes to its text in memory.

Nothing is written to the checkout, and its modules, which have names like `models` and `utils`, are
known to each other only.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, changes: Mapping[str, str]) -> None:
        super().__init__(name, path)
        self.changes = changes

    # Not by `get_data`: compiled code of the unchanged text may lie there, and must not be touched.
    def get_code(self, fullname: str) -> CodeType:
        text = Path(self.path).read_text()
        for old, new in self.changes.items():
            text = text.replace(old, new)
        return compile(text, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds modules in one folder; a folder in it is a package."""

    def __init__(self, folder: Path, changes: Mapping[str, str]) -> None:
        self.folder = folder
        self.changes = changes

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        place = self.folder.joinpath(*fullname.split("."))
        file = place.with_suffix(".py")
        if file.is_file():
            loader = _Loader(fullname, str(file), self.changes)
            return spec_from_file_location(fullname, file, loader=loader)
        if place.is_dir():
            package = ModuleSpec(fullname, None, is_package=True)
            package.submodule_search_locations = [str(place)]
            return package
        return None

    def has(self, name: str) -> bool:
        return self.find_spec(name.partition(".")[0]) is not None


def modules(folder: Path, names: Sequence[str], changes: Mapping[str, str]) -> list[ModuleType]:
    """The modules of these names in `folder`.

    Args:
        folder: where the project's own imports start.
        names: dotted, from there.
        changes: text to replace in every file, and by what.

    Raises:
        ValueError: there is no such file.
    """
    for name in names:
        file = folder.joinpath(*name.split(".")).with_suffix(".py")
        if not file.is_file():
            raise ValueError(f"{file} is missing; give the path of a checkout of the project")
    finder = _Finder(folder, changes)
    ours = {name: module for name, module in sys.modules.items() if finder.has(name)}
    for name in ours:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if finder.has(name)]:
            del sys.modules[name]
        sys.modules.update(ours)


def commit(repo: Path) -> str:
    """Which state of the project is checked out; "unknown" if git does not say."""
    command = ["git", "-C", str(repo), "describe", "--always", "--dirty", "--abbrev=12"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"
