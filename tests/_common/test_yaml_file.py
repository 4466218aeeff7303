from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nni_darts._common import limits, yaml_file
from nni_darts._common.files import DamagedError
from nni_darts._common.yaml_file import YamlError


def parsed(text: str) -> dict[str, Any]:
    return yaml_file.parse(text.encode())


def test_plain_values(tmp_path: Path) -> None:
    text = f"\ufeffa: [x, 2.5, true, ~]\nb: {{c: {limits.NUMBER}}}\n"
    values = {"a": ["x", 2.5, True, None], "b": {"c": 2**53 - 1}}
    assert parsed(text) == values
    path = tmp_path / "file.yml"
    path.write_text(text, encoding="utf-8")
    assert yaml_file.read(path) == values


def test_what_is_merged_gives_way_to_what_stands_there_and_to_what_is_merged_first() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {x: 3, <<: [*a, *b]}\nd: *b\n"
    values = parsed(text)
    assert values["c"] == {"x": 3, "y": 1, "z": 2}
    assert values["d"] == values["b"] == {"y": 2, "z": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must hold the keys of an NNI experiment, got an empty file"),
        ("- 1", "must hold the keys of an NNI experiment, got a list"),
        ("a: 1\nb: 2\na: 3\n", "a: given twice, in lines 1 and 3"),
        ("a:\n  b: 1\n  b: 2\n", "a.b: given twice, in lines 2 and 3"),
        ("a:\n- b: 2024-01-01", "a.0.b: line 2: YAML takes '2024-01-01' for a date; put it in quo"),
        ("a: {1: 2}", "a: line 1: a key must be a text, got '1'; put it in quotes"),
        ("? [1]\n: 2", "line 1: a key must be a text, got a list; put it in quotes"),
        ("'': 1", "line 1: a key must have 1 to 200 characters, got ''"),
        ('"a\\nb": 1', r"line 1: a key must have 1 to 200 characters, got 'a\nb'"),
        ("a: !!int x", "a: line 1: expected a finite number, got 'x'"),
        ("a: .inf", "a: line 1: expected a finite number, got '.inf'"),
        (f"a: -{2**53}", "a: line 1: a whole number must be within +-9007199254740991"),
        ('a: "x\\0"', "a: line 1: the text holds a null character"),
        ('a: "\\ud800"', "a: line 1: the text holds half a character (a surrogate)"),
        ("a: !!binary aGk=", "a: line 1: a value of the kind '!!binary' is not allowed here"),
        ("a: !mine {b: 1}", "a: line 1: a value of the kind '!mine' is not allowed here"),
        ("a: {<<: [3]}", "a.<<: line 1: only keys can be merged, got '3'"),
        ("a: &a [*a]", "a.0.0: line 1: nested more than 50 levels deep"),
        ("a: *b", "is not valid YAML: found undefined alias 'b' in "),
    ],
)
def test_mistakes(text: str, expected: str, message: Callable[..., str]) -> None:
    assert message(YamlError, parsed, text).startswith(expected)


def test_what_is_no_text(message: Callable[..., str]) -> None:
    assert message(YamlError, yaml_file.parse, b"a: \xff") == "is not a text file in UTF-8"


def test_the_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: Callable[..., str]
) -> None:
    # The number is the fiftieth level.
    nested = "{a: " * 49 + "1" + "}" * 49
    assert parsed(nested)
    assert "nested more than 50 levels" in message(YamlError, parsed, f"{{a: {nested}}}")
    # Two texts of 20 characters, the mapping and its two values.
    monkeypatch.setattr(limits, "YAML_EXPANDED", 43)
    aliases = f"a: &a {'x' * 20}\nb: *a\n"
    assert parsed(aliases) == dict.fromkeys("ab", "x" * 20)
    monkeypatch.setattr(limits, "YAML_EXPANDED", 42)
    assert message(YamlError, parsed, aliases) == (
        "b: line 1: aliases expand to more than 42 characters and values"
    )
    path = tmp_path / "file.yml"
    path.write_text("a: 1")
    monkeypatch.setattr(limits, "YAML_SIZE", 3)
    assert message(DamagedError, yaml_file.read, path) == (
        "is larger than the 3 bytes that are read"
    )
