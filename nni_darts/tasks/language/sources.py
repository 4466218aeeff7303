"""Sources of the data sets' texts: folders, or the archives that the texts are spread in.

Nothing is downloaded. The test text is read by `read("test")` alone.
"""

from __future__ import annotations

import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from nni_darts._common import files, limits
from nni_darts._common.files import at_home
from nni_darts._common.messages import unknown
from nni_darts.tasks.language.vocabulary import TextError
from nni_darts.tasks.missing_data import MissingDataError

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Text:
    """A data set of three texts.

    Each is a file of the root, or lies at any depth in an archive there, or in one that is the root
    itself; the first name that is found counts.
    """

    files: tuple[str, ...]
    """Names that a part may have; `{}` stands for train, valid or test."""
    archives: tuple[str, ...]
    obtain: str
    """Advice where a user gets them."""


TEXTS: Mapping[str, Text | None] = {
    "alice": None,
    "ptb": Text(
        ("ptb.{}.txt", "{}.txt"),
        ("ptb.zip", "simple-examples.tgz"),
        "Mikolov's preparation of the Penn Treebank, as in simple-examples.tgz of "
        "www.fit.vutbr.cz/~imikolov/rnnlm",
    ),
    "wikitext2": Text(
        ("wiki.{}.tokens", "{}.txt"),
        ("wikitext-2-v1.zip", "wikitext-2.zip", "wikitext-2.tar.xz", "wikitext-2.tgz"),
        "WikiText-2 in words, wikitext-2-v1.zip",
    ),
    "text": Text(("{}.txt",), (), "your own texts, words with spaces between them"),
}
"""Data sets by name; the text that ships with the project has no files of the user's."""


class TextSource:
    """The three texts of one data set.

    Args:
        name: a key of `TEXTS`.
        root: the folder with the texts or an archive of them, or such an archive; None for the text
            that ships with the project.

    Raises:
        ValueError: no such data set, a root where none is wanted, or none where one is.
    """

    def __init__(self, name: str, root: str | os.PathLike[str] | None) -> None:
        if name not in TEXTS:
            raise ValueError(unknown("text", name, TEXTS))
        self.name = name
        self._text = TEXTS[name]
        if self._text is None and root is not None:
            raise ValueError(f"{name} ships with nni-darts: leave root out, got root={root}")
        if self._text is not None and root is None:
            raise ValueError(f"{name} needs root: {self._wanted(self._text)}")
        self._root = None if root is None else at_home(root)

    def check(self, part: Part) -> None:
        """Check a part: MissingDataError where it is absent, TextError for a damaged archive."""
        self._locate(part)

    def where(self, part: Part) -> str:
        """Name of a part's file, for messages."""
        path, member = self._locate(part)
        return str(path) if member is None else f"{member} in {path}"

    def read(self, part: Part) -> str:
        """Read a text unchanged.

        Raises:
            MissingDataError: it is not there.
            TextError: it cannot be read, or is not in UTF-8.
        """
        path, member = self._locate(part)
        try:
            # Some editors begin a text with a mark of its encoding, which is no part of a word.
            return _content(path, member).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise TextError(
                f"{self.where(part)} must be a text in UTF-8, got other bytes"
            ) from None
        except _DAMAGE as error:
            reason = "".join(str(error).splitlines()[:1]) or type(error).__name__
            raise TextError(f"{self.where(part)} cannot be read: {reason}") from None

    def _locate(self, part: Part) -> tuple[Path, str | None]:
        """The file of a part, or an archive and the name of its member."""
        if self._text is None:
            return Path(
                str(
                    resources.files("nni_darts.tasks.language")
                    / "texts"
                    / self.name
                    / f"{part}.txt"
                )
            ), None
        assert self._root is not None
        names = [name.format(part) for name in self._text.files]
        if not self._root.is_dir():
            archives = [self._root]
        else:
            for name in names:
                if (self._root / name).is_file():
                    return self._root / name, None
            archives = [self._root / name for name in self._text.archives]
        for archive in archives:
            if not archive.is_file():
                continue
            members = _members(archive)
            for name in names:
                for member in members:
                    if Path(member).name == name:
                        return archive, member
        raise MissingDataError(
            f"{self.name} has no {' or '.join(names)} at {self._root.absolute()}; give as root "
            f"{self._wanted(self._text)}"
        )

    def _wanted(self, text: Text) -> str:
        files = " or ".join(", ".join(name.format(p) for p in PARTS) for name in text.files)
        archives = f" (or the archive {' or '.join(text.archives)})" if text.archives else ""
        return f"the folder of {files}{archives}: {text.obtain}"


_DAMAGE = (
    *(OSError, EOFError, ValueError, struct.error, OverflowError, MemoryError),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    RuntimeError,  # encrypted; NotImplementedError: packed in a way that Python does not know
)
"""Errors by which an archive shows that it is cut off, changed or not for this Python."""


def _members(archive: Path) -> list[str]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return [member.filename for member in opened.infolist() if not member.is_dir()]
        with tarfile.open(archive) as tar:
            return [member.name for member in _bounded(tar, archive) if member.isfile()]
    except _DAMAGE as error:
        reason = str(error).splitlines()[:1]
        raise TextError(
            f"{archive} must be a folder, or a zip or tar archive of texts: {''.join(reason)}"
        ) from None


def _content(path: Path, member: str | None) -> bytes:
    if member is None:
        return files.read_regular(path, limits.TEXT_SIZE)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as opened:
            _require_size(opened.getinfo(member).file_size, path)
            return opened.read(member)
    with tarfile.open(path) as tar:
        # Not by its name: what lies behind it need not be unpacked.
        found = next(m for m in _bounded(tar, path) if m.name == member and m.isfile())
        file = tar.extractfile(found)
        assert file is not None, "only files are members"
        return file.read()


def _bounded(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Members, as long as they are no more than an archive of this size can hold."""
    total = 0
    for member in tar:
        total += member.size
        _require_size(total, path)
        yield member


def _require_size(size: int, archive: Path) -> None:
    most = min(limits.TEXT_SIZE, max(10_000_000, limits.EXPANSION * archive.stat().st_size))
    if size > most:
        raise ValueError(f"it would unpack to more than {most} bytes")
