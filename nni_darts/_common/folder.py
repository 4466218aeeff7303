"""A folder by the few operations that a run needs of it: all that another storage has to bring.

`LocalFolder` is the folder of a file system that is mounted here. One behind a URL is a second
class, and one more line in `at`.
"""

from __future__ import annotations

import glob
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from nni_darts._common import files


class Folder(ABC):
    """A folder with one writer at a time. Names are those of files in it."""

    @abstractmethod
    def address(self, name: str = "") -> str:
        """The path or URL of a file, or of the folder: for messages, and for other libraries."""

    @abstractmethod
    def make(self) -> None:
        """Make the folder, and those above it, where they are missing."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all that is in it, sorted; none where there is no such folder."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """True if there is something of that name."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A file, to be read.

        Raises:
            DamagedError: it is something else than a regular file.
            OSError: it cannot be read.
        """

    @abstractmethod
    def replace(self, name: str, content: bytes | memoryview, keep: str | None = None) -> None:
        """Replace a file as a whole: a reader, a crash or a power cut never meets half of it.

        Args:
            name: of the file.
            content: what it will hold.
            keep: the name under which the file before it is kept.

        Raises:
            OSError: it cannot be written; the file before it is whole, and nothing else is left.
        """

    @abstractmethod
    def rename(self, name: str, to: str) -> None:
        """Give a file another name, in place of what has it."""

    @abstractmethod
    def unwritable(self) -> str | None:
        """Reason why the folder, which need not exist yet, cannot be written to, or None."""

    @abstractmethod
    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Be alone, within, of all who lock the same name; says so where it has to wait."""


class LocalFolder(Folder):
    """A folder of a file system that is mounted here."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def address(self, name: str = "") -> str:
        return str(self.path / name)

    def make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []

    def exists(self, name: str) -> bool:
        return (self.path / name).exists()

    def open(self, name: str) -> BinaryIO:
        return files.open_regular(self.path / name)

    def replace(self, name: str, content: bytes | memoryview, keep: str | None = None) -> None:
        # What a writer that was killed has left; there is one at a time.
        for left in self.path.glob(f"{glob.escape(name)}.*.new"):
            left.unlink(missing_ok=True)
        files.write_bytes(self.path / name, content, keep)

    def rename(self, name: str, to: str) -> None:
        (self.path / name).replace(self.path / to)

    def unwritable(self) -> str | None:
        return files.unwritable(self.path)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        lock = FileLock(self.path / name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process to leave {self.path}", flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def at(address: str | os.PathLike[str]) -> Folder:
    """The folder with an address."""
    return LocalFolder(address)
