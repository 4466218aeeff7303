"""Genotypes that papers published, by name; and what a user may give for a genotype."""

from __future__ import annotations

import functools
import json
import os
import re
import reprlib
from importlib import resources
from typing import Any

from nni_darts._common import files
from nni_darts._common.messages import shown, unknown
from nni_darts.genotypes.cell import known_name
from nni_darts.genotypes.genotype import Genotype

__all__ = ["from_argument", "get", "named", "names", "source"]

_MAX_FILE = 50_000  # characters, as Genotype.parse takes
_TEXT = re.compile(r"^\s*\{|Genotype\s*\(")
_path = reprlib.Repr()
_path.maxstring = 200  # reprlib's 30 characters would leave out which file it was


def names() -> tuple[str, ...]:
    """The known names, of convolutional and recurrent cells."""
    return tuple(_entries())


def get(name: str) -> Genotype:
    """The genotype of that name; ValueError with the nearest known name for any other."""
    return Genotype.parse(json.dumps(_entry(name)))


def source(name: str) -> str:
    """The repository and file that published it; ValueError as `get`."""
    return str(_entry(name)["source"])


def named(text: str) -> Genotype:
    """The genotype of a published name, or of a text in any format of `Genotype.parse`.

    Raises:
        ValueError: one line, with the nearest known name where it is not a text.
    """
    _text_of(text)
    return Genotype.parse(text) if "{" in text or "(" in text else get(text)


def from_argument(text: str) -> Genotype:
    """The genotype that a user means on the command line.

    Args:
        text: a published name; else the path of a file; else the text of a genotype in any format
            of `Genotype.parse`. The file is a regular one in UTF-8 of at most 50,000 characters
            that holds such a text, or one in each line: the first then counts, as `nni-darts
            export` writes the best one first. Lines that begin with # are left aside.

    Raises:
        ValueError: one line, which names the file if it is one.
    """
    if _text_of(text) in _entries():
        return get(text)
    if not os.path.exists(text):  # False, too, for what can be no path, as with a null byte
        if _TEXT.search(text):
            return Genotype.parse(text)
        problem = unknown("genotype", text, _entries())
        raise ValueError(f"{problem}; or give a file or the text of a genotype")
    try:
        return _first(_read(text))
    except ValueError as error:
        raise ValueError(f"{_path.repr(text)}: {error}") from None


def _text_of(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a genotype must be a name or a text, got {shown(value)}")
    return value


def _first(text: str) -> Genotype:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) > 1 and all(_TEXT.search(line) for line in lines):
        return Genotype.parse(lines[0])
    return Genotype.parse("\n".join(lines))


def _read(path: str) -> str:
    most = 4 * _MAX_FILE + 3  # bytes, with the mark that editors on Windows write
    try:
        with files.open_regular(path) as file:
            content = file.read(most + 1)
        # Of what is too long, no more is looked at.
        text = "" if len(content) > most else content.decode("utf-8-sig")
    except files.DamagedError:
        raise ValueError("expected a regular file that holds a genotype") from None
    except UnicodeDecodeError:
        raise ValueError("expected a genotype in UTF-8, got other bytes") from None
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise ValueError(f"expected at most {_MAX_FILE} characters, the file has more")
    if len(text) > _MAX_FILE:
        raise ValueError(f"expected at most {_MAX_FILE} characters, the file has more")
    return text


def _entry(name: str) -> dict[str, Any]:
    return _entries()[known_name("genotype", name, _entries())]


@functools.cache
def _entries() -> dict[str, dict[str, Any]]:
    """Entries by name: fields of `Genotype.parse`, "source", and "kind" ("cnn" or "rnn")."""
    text = (
        resources.files("nni_darts.genotypes")
        .joinpath("published.json")
        .read_text(encoding="utf-8")
    )
    entries: dict[str, dict[str, Any]] = json.loads(text)
    return entries
