"""Folders of runs that are not on a disk, and whose runs they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec

from nni_darts._common.folder import Folder
from nni_darts.training.identity import Identity

IDENTITY = Identity("search-0", json.dumps({"seed": 0, "settings": {}}))
OTHER = Identity("search-1", json.dumps({"seed": 1, "settings": {}}))


class MemoryFolder(Folder):
    """A folder behind a URL of fsspec: what another storage has to bring."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.system, self.root = fsspec.core.url_to_fs(url)

    def address(self, name: str = "") -> str:
        return f"{self.url}/{name}".rstrip("/")

    def make(self) -> None:
        self.system.makedirs(self.root, exist_ok=True)

    def names(self) -> list[str]:
        if not self.system.exists(self.root):
            return []
        return sorted(Path(name).name for name in self.system.ls(self.root, detail=False))

    def exists(self, name: str) -> bool:
        return bool(self.system.exists(f"{self.root}/{name}"))

    def open(self, name: str) -> BinaryIO:
        opened: BinaryIO = self.system.open(f"{self.root}/{name}", "rb")
        return opened

    def replace(self, name: str, content: bytes | memoryview, keep: str | None = None) -> None:
        self.make()
        if keep is not None and self.exists(name):
            self.rename(name, keep)
        self.system.pipe_file(f"{self.root}/{name}", bytes(content))

    def rename(self, name: str, to: str) -> None:
        self.system.mv(f"{self.root}/{name}", f"{self.root}/{to}")

    def unwritable(self) -> str | None:
        return None

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        yield
