from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nni_darts.genotypes import parser
from nni_darts.genotypes.genotype import Genotype


@pytest.mark.parametrize(
    "text",
    [
        "Genotype(normal=open('{path}', 'w').close(), normal_concat=[2])",
        "__import__('pathlib').Path('{path}').touch()",
        "Genotype(normal=[(__import__('pathlib').Path('{path}').touch(), 0)], normal_concat=[2])",
        "A = [open('{path}', 'w')]",
        "Genotype(**open('{path}', 'w'))",
    ],
)
def test_trap_21_text_is_never_executed(text, tmp_path):
    trace = tmp_path / "executed"
    with pytest.raises(ValueError, match="not a genotype"):
        Genotype.parse(text.replace("{path}", trace.as_posix()))
    assert not trace.exists()


FIELDS = {"normal": [["none", 0]], "normal_concat": [2]}


@pytest.mark.parametrize(
    "text",
    [
        '{"normal": [["none", 0]], "normal_concat": [2]}',
        " Genotype(normal=[('none', 0)], normal_concat=[2])\n",
        'MINE = Genotype(normal=(("none", 0x0),), normal_concat=(2,))  # mine',
    ],
)
def test_fields(text: str) -> None:
    assert parser.read(text) == FIELDS


def test_a_range_stays_one() -> None:
    # However long it is, it takes no memory.
    fields = parser.read("Genotype(a=range(2), b=range(1, 9999, 3), c=range(10000))")
    assert fields == {"a": range(2), "b": range(1, 9999, 3), "c": range(10_000)}


PLAIN = "expected only lists, strings, numbers up to 10000 and range(), got"
TEXT = "expected JSON or Genotype(normal=[...], normal_concat=range(2, 6), ...), got"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{}", "a genotype is read from text, got bytes"),
        ("x" * 50_001, "a genotype has at most 50000 characters, this text has 50001"),
        ("{", "not a genotype: invalid JSON: Expecting property name enclosed in double quotes:"),
        ('{"a": ' + "[" * 40_000, "not a genotype: the JSON is nested too deeply"),
        ('{"a": 1, "a": 2}', "not a genotype: invalid JSON: a field is given twice"),
        ("Genotype(a=1, **{'a': 2})", f"not a genotype: line 1, column 17: {PLAIN} Dict"),
        ("Genotype(a=10001)", f"not a genotype: line 1, column 12: {PLAIN} Constant"),
        ("Genotype(a=0.5)", f"not a genotype: line 1, column 12: {PLAIN} Constant"),
        ("Genotype(a=[\n -1])", f"not a genotype: line 2, column 2: {PLAIN} UnaryOp"),
        ("Genotype(a=range(1, 2, 0))", f"not a genotype: line 1, column 12: {PLAIN} Call"),
        ("Genotype(a=open('x'))", f"not a genotype: line 1, column 12: {PLAIN} Call"),
        ("Genotype([1])", f"not a genotype: {TEXT} 'Genotype([1])'"),
        ("dict(a=1)", f"not a genotype: {TEXT} 'dict(a=1)'"),
        ("A = B = Genotype(a=1)", f"not a genotype: {TEXT} 'A = B = Genotype(a=1)'"),
        ("-" * 30_000 + "1", f"not a genotype: {TEXT} '------------...------------1'"),
    ],
)
def test_other_texts(text: Any, expected: str, message: Callable[..., str]) -> None:
    assert message(ValueError, parser.read, text).startswith(expected)
