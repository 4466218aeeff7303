"""Genotypes that papers published, by name; and what a user may give for a genotype."""

from __future__ import annotations

import functools
import json
import os
import reprlib
from importlib import resources
from typing import Any

from nni_darts.cell import known_name
from nni_darts.genotype import Genotype
from nni_darts.messages import unknown

__all__ = ["find", "get", "named", "names", "source"]

_MAX_FILE = 50_000  # characters, as Genotype.parse takes
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
    return Genotype.parse(text) if "{" in text or "(" in text else get(text)


def find(text: str) -> Genotype:
    """The genotype that a user means on the command line.

    Args:
        text: the text of a genotype in any format of `Genotype.parse`, which is what holds a brace
            or a parenthesis; else a published name; else the path of a file that holds such a text,
            a regular file in UTF-8 of at most 50,000 characters.

    Raises:
        ValueError: one line, which names the file if it is one.
    """
    if "{" in text or "(" in text or text in _entries():
        return named(text)
    if not os.path.exists(text):  # False, too, for what can be no path, as with a null byte
        problem = unknown("genotype", text, _entries())
        raise ValueError(f"{problem}; or give a file or the text of a genotype")
    try:
        return Genotype.parse(_read(text))
    except ValueError as error:
        raise ValueError(f"{_path.repr(text)}: {error}") from None


def _read(path: str) -> str:
    # Anything else could be endless, or wait for a writer.
    if not os.path.isfile(path):
        raise ValueError("expected a regular file that holds a genotype")
    try:
        with open(path, encoding="utf-8-sig") as file:  # editors on Windows write the mark
            text = file.read(_MAX_FILE + 1)
    except UnicodeDecodeError:
        raise ValueError("expected a genotype in UTF-8, got other bytes") from None
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    if len(text) > _MAX_FILE:
        raise ValueError(f"expected at most {_MAX_FILE} characters, the file has more")
    return text


def _entry(name: str) -> dict[str, Any]:
    return _entries()[known_name("genotype", name, _entries())]


@functools.cache
def _entries() -> dict[str, dict[str, Any]]:
    """name -> fields of `Genotype.parse`, "source", and "kind", which is "cnn" or "rnn"."""
    text = resources.files("nni_darts").joinpath("published.json").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = json.loads(text)
    return entries
