from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest

from nni_darts.runs import argument_kinds


@pytest.mark.parametrize(
    ("value", "annotation", "words"),
    [
        (True, bool, None),
        (1, bool, "true or false"),
        (1, int, None),
        (True, int, "a whole number"),
        (1.0, int, "a whole number"),
        (1, float, None),
        (True, float, "a number"),
        ("1", float, "a number"),
        ("a", str, None),
        (3, str, "a text"),
        (None, None, None),
        (0, type(None), "nothing"),
        # Python's 1 equals True and 1.0.
        (1, Literal[True, 1.0], "one of True, 1.0"),
        ("a", Literal["a", "b"], None),
        ("c", Literal["a", "b"], "one of 'a', 'b'"),
        (None, Optional[int], None),  # noqa: UP045
        ("x", Optional[int], "a whole number or nothing"),  # noqa: UP045
        ([], float | str, "a number or a text"),
        ([], Union[float, None, str], "a number or nothing or a text"),  # noqa: UP007
        ([], list[int] | tuple[str, ...] | None, None),
        ("x", list[int] | tuple[str, ...], "a list"),
        ("a", Path, None),
        (3, os.PathLike[str], "a path"),
        ((1, 2), Sequence[int], None),
        ([1, "2"], list[int], "a list, each item a whole number"),
        ([[1], ["2"]], tuple[list[int], ...], "a list, each item a list, each item a whole number"),
        ("ab", Iterable[str], "a list"),
        # A tuple of several kinds is left to its class.
        ([1, 2], tuple[int, str], None),
        ({}, Mapping[str, int], None),
        ([], dict[str, int], "keys with values"),
        ({"a": ["b"]}, Mapping[str, Sequence[str]], None),
        ({"a": 1}, Mapping[str, Sequence[str]], "keys with values, each a list"),
        (
            {"a": 1},
            Sequence[str] | Mapping[str, Sequence[str]],
            "a list or keys with values, each a list",
        ),
        (3, Any, None),
        (3, Callable[[], int], None),
        (3, Path | Any, None),
    ],
)
def test_kinds(value: object, annotation: Any, words: str | None) -> None:
    assert argument_kinds.expected(value, annotation) == words


def test_annotations_of_a_function() -> None:
    def here(width: int, rate: float | None = None, *names: str, rest) -> None:  # type: ignore[no-untyped-def]
        """Annotated in part."""

    found = argument_kinds.of(here)
    assert found.pop("return") is type(None)
    assert found == {"width": int, "rate": float | None, "names": str}


def test_what_only_type_checkers_know_is_not_judged() -> None:
    def here(width: int, other: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Annotated with a name that is not there."""

    assert argument_kinds.of(here) == {}
