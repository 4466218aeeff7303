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

ROOMS_STILL_WITHOUT_ALL_TESTS = (
    "nni_darts/tasks",
    "nni_darts/pictures",
    "nni_darts/search",
    "nni_darts/supernet",
    "search_spaces",
)
"""Rooms of which some modules have no test file of their own yet."""


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


def place_of_tests(module: Path) -> Path:
    """The test file of a module: nni_darts/ROOM/NAME.py has tests/ROOM/test_NAME.py."""
    place = module.relative_to("nni_darts") if module.parts[0] == "nni_darts" else module
    return "tests" / place.with_name(f"test_{module.name}")


def test_every_module_has_its_test_file() -> None:
    assert place_of_tests(Path("nni_darts/a/b/c.py")) == Path("tests/a/b/test_c.py")
    assert place_of_tests(Path("search_spaces/c.py")) == Path("tests/search_spaces/test_c.py")
    modules = [
        path.relative_to(ROOT)
        for room in ("nni_darts", "search_spaces")
        for path in sorted((ROOT / room).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    due = [
        place_of_tests(module)
        for module in modules
        if not any(module.is_relative_to(room) for room in ROOMS_STILL_WITHOUT_ALL_TESTS)
    ]
    assert len(due) > 50
    assert [path.as_posix() for path in due if not (ROOT / path).is_file()] == []
