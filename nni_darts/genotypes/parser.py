"""Reads the text of a genotype into its fields: dicts, lists, strings and numbers.

Text is parsed with `json` and `ast` and never executed; what is too long or too deep is refused.
"""

from __future__ import annotations

import ast
import json
import reprlib
from typing import Any

_MAX_TEXT = 50_000  # characters; the published genotypes have fewer than 1,000
_MAX_NUMBER = 10_000  # any number in a text: a state index, or a bound of range()


def read(text: str) -> dict[str, Any]:
    """Fields of JSON, or of `Genotype(field=value, ...)` with or without a name before it.

    Raises:
        ValueError: one line that says what is wrong, for any other text.
    """
    if not isinstance(text, str):
        raise ValueError(f"a genotype is read from text, got {type(text).__name__}")
    if len(text) > _MAX_TEXT:
        raise ValueError(
            f"a genotype has at most {_MAX_TEXT} characters, this text has {len(text)}"
        )
    text = text.strip()
    return _read_json(text) if text.startswith("{") else _read_python(text)


def _read_json(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text, object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError("not a genotype: the JSON is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not a genotype: invalid JSON: {error}") from None
    assert isinstance(fields, dict)  # the text starts with a brace
    return fields


def _read_python(text: str) -> dict[str, Any]:
    try:
        body = ast.parse(text).body
    # The last two: nested too deeply.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        body = []
    match body:
        case [ast.Expr(value=call)] | [ast.Assign(targets=[ast.Name()], value=call)]:
            match call:
                case ast.Call(func=ast.Name(id="Genotype"), args=[], keywords=keywords):
                    return _distinct(
                        [(str(field.arg), _literal(field.value)) for field in keywords]
                    )
    raise ValueError(
        "not a genotype: expected JSON or Genotype(normal=[...], normal_concat=range(2, 6), ...), "
        f"got {reprlib.repr(text)}"
    )


def _literal(node: ast.expr) -> Any:
    """The value of a list, tuple, string, non-negative number, or range of numbers."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.Constant(value=int(value)) if value in range(_MAX_NUMBER + 1):
            return value  # a bool too, which is no index
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element) for element in elements]
        case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]) if 0 < len(args) <= 3:
            bounds = [_literal(arg) for arg in args]
            if all(isinstance(bound, int) for bound in bounds) and bounds[2:] != [0]:
                return range(*bounds)
    raise ValueError(
        f"not a genotype: line {node.lineno}, column {node.col_offset + 1}: expected only lists, "
        f"strings, numbers up to {_MAX_NUMBER} and range(), got {type(node).__name__}"
    )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is given twice")
    return fields
