"""The linter, the formatter and the type checker have nothing to say; docstrings stand alone.

What they name is there.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotted_names import resolve

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


DOTTED = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)+)(?:\(\))?`")
PATTERNS = {"package.module.Class"}
"""What stands for a name of the user's."""


def dotted_names(source: str) -> Iterator[tuple[int, str]]:
    """(line, name) of the dotted names in backticks that docstrings and comments have."""
    comments = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for line, text in [*docstrings(source), *comments]:
        yield from ((line, name) for name in DOTTED.findall(text) if name not in PATTERNS)


def leads_nowhere(name: str, place: Path) -> bool:
    """True if a name is no object, from the top or as the module at a place sees it, nor a file."""
    module = place.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for whole in (name, f"{module.removesuffix('.__init__')}.{name}"):
        try:
            resolve(whole)
        except AttributeError:
            continue
        return False
    return not (place.parent / name).exists()


PATHS = sorted(
    path for room in ("nni_darts", "search_spaces") for path in (ROOT / room).rglob("*.py")
)


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
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in PATHS
        for line in half_sentences(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_names_that_lead_nowhere_are_found() -> None:
    source = """'''See `runs.gone.train`, and `nni_darts.runs.train.train()`.'''
x = 1  # as `build.space` has it, `nni_darts.runs.train.Job.key`, and `package.module.Class`
"""
    place = ROOT / "nni_darts" / "runs" / "train.py"
    found = list(dotted_names(source))
    assert [line for line, _ in found] == [1, 1, 2, 2]
    assert [name for _, name in found if leads_nowhere(name, place)] == ["runs.gone.train"]
    assert leads_nowhere("listen.cjs", place)
    assert not leads_nowhere("listen.cjs", ROOT / "nni_darts" / "experiment" / "loopback.py")


def test_names_in_docstrings_and_comments_lead_somewhere() -> None:
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{line} {name}"
        for path in PATHS
        for line, name in dotted_names(path.read_text(encoding="utf-8"))
        if leads_nowhere(name, path)
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
    due = [place_of_tests(module) for module in modules]
    assert len(due) > 150
    assert [path.as_posix() for path in due if not (ROOT / path).is_file()] == []
