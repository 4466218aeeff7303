"""Parser of the command line, which reports a mistake in one line."""

from __future__ import annotations

import argparse
import math
import os
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from nni_darts._common.messages import line

_DIGITS = 100


class Parser(argparse.ArgumentParser):
    """Parser that reports a mistake, and where there is help, in one line instead of the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {line(message)}; for help: {self.prog} --help\n")


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """The type of an option that takes a whole number of a range."""
    allowed = f"of at least {least}" if most == math.inf else f"from {least} to {most}"

    def parse(text: str) -> int:
        # Python takes digits of other scripts, and refuses too many of them.
        plain = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
        if not plain or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number {allowed}, got {reprlib.repr(text)}"
            )
        return int(text)

    return parse


def path(text: str) -> Path:
    """The type of an option that takes a path; of none, Python makes the folder it is in."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got nothing")
    return Path(text)


def root(text: str) -> str:
    """Type of an option that takes a path, as text."""
    return os.fspath(path(text))
