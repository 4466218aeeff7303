"""Wording of errors: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
import reprlib
import sys
from collections.abc import Iterable


def unknown(what: str, name: object, known: Iterable[object]) -> str:
    """One line for a name that is not among the known ones, with the nearest of them."""
    names = [str(k) for k in known]
    near = difflib.get_close_matches(str(name)[:100], names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {reprlib.repr(name)}{hint} (known: {', '.join(names) or 'none'})"


LONGEST = 1_500
"""Characters of a line that says what is wrong: an argument may have been pasted by mistake."""

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 100
_REPR.maxlevel = 3


def shown(value: object) -> str:
    """A value in one line that is not too long, whatever it is."""
    try:
        return printable(_REPR.repr(value))
    except ValueError:  # a number of more digits than Python writes
        return f"a {type(value).__name__}"


def line(text: str) -> str:
    """Text as one line for a terminal, without the middle of what is far too long."""
    text = printable(text)
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"


def printable(text: str) -> str:
    """Text as it may go to a terminal: control, bidirectional and invisible characters escaped.

    A name from a file or from NNI's database could else clear the screen, or look like another.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def printable_lines(text: str) -> str:
    """Text with each of its lines made `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def literal(text: str) -> str:
    """Text for matplotlib, whose dollar signs begin no formula."""
    return printable(text).replace("$", r"\$")


_said: set[str] = set()


def say_once(text: str) -> None:
    """A line on standard error, however often there is reason for it in this process."""
    if text not in _said:
        _said.add(text)
        print(f"nni-darts: {text}", file=sys.stderr, flush=True)
