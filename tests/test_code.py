"""The linter, the formatter and the type checker have nothing to say; docstrings stand alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HALF_SENTENCE = re.compile(
    r"(After|Also|As|At|Before|Beside|Besides|By|Else|For|From|How|If|In|Instead|It|Its|Less|Of|On|"
    r"Once|Over|So|Such|That|The same|There|These|They|This|Those|To|Under|Unless|Until|What|When|"
    r"Where|Whether|Which|Why|With|Within|Without)\b|\("
)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of the docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, text.strip()


def half_sentences(source: str) -> list[int]:
    """The lines of docstrings that begin with neither a noun nor a verb."""
    return [line for line, text in docstrings(source) if HALF_SENTENCE.match(text)]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["linter", "formatter", "types"],
)
def test_code(command: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_half_sentences_are_found() -> None:
    source = '''"""Where it is."""
class A:
    """Holder of a thing."""
    thing: int
    """Of the class."""
    def see(self) -> int:
        """The same for a thing."""
'''
    assert half_sentences(source) == [1, 5, 7]


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    paths = [
        path for room in ("nni_darts", "search_spaces") for path in (ROOT / room).rglob("*.py")
    ]
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in sorted(paths)
        for line in half_sentences(path.read_text(encoding="utf-8"))
    ]
    assert found == []
