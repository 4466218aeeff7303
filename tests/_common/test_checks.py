from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nni_darts._common import checks

ENDLESS = 10**5000


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: checks.whole("n", np.int64(3), 3), 3),
        (lambda: checks.whole("n", torch.tensor(5), 3, 5, limit=5), 5),
        (lambda: checks.size("n", np.uint8(3), 3, 3), 3),
        (lambda: checks.number("x", np.float32(0.5), checks.POSITIVE), 0.5),
        (lambda: checks.number("x", Fraction(1, 4), checks.PROBABILITY), 0.25),
        (lambda: checks.number("x", 0, checks.NOT_NEGATIVE), 0.0),
        (lambda: checks.share("x", 0), 0.0),
        (lambda: checks.truth("f", np.True_), True),
        (lambda: checks.truth("f", torch.tensor(False)), False),
        (lambda: checks.text("t", "a"), "a"),
        (lambda: checks.choice("kind", "a", iter("ab")), "a"),
        (lambda: checks.texts("t", ["a", "b"]), ("a", "b")),
        (lambda: checks.texts("t", {"a": 1}.keys()), ("a",)),
        (lambda: checks.as_path("p", "a/b"), Path("a/b")),
        (lambda: checks.instance("i", 3, int, "a number"), 3),
        (lambda: checks.function("f", len), len),
        (lambda: checks.several("s", (1, 2), int, "numbers"), [1, 2]),
    ],
)
def test_the_value_comes_back_in_pythons_own_type(call: Callable[[], Any], expected: Any) -> None:
    found = call()
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: checks.whole("n", 0, 1), "n must be a whole number of at least 1, got 0"),
        (lambda: checks.whole("n", 3, 1, 2), "n must be a whole number from 1 to 2, got 3"),
        (lambda: checks.whole("n", 1.0, 1), "n must be a whole number of at least 1, got 1.0"),
        (lambda: checks.whole("n", True, 1), "n must be a whole number of at least 1, got True"),
        (lambda: checks.whole("n", ENDLESS, 1, limit=9), "n must be at most 9, got a int"),
        (lambda: checks.whole("n", 10, 1, limit=9), "n must be at most 9, got 10"),
        (lambda: checks.size("n", 0, 1, 2), "n must be at least 1, got 0"),
        (lambda: checks.size("n", 3, 1, 2, "n="), "n must be at most 2, got n=3"),
        (lambda: checks.size("n", "3", 1, 2), "n must be a whole number of at least 1, got '3'"),
        (lambda: checks.size("n", None, -math.inf, 2), "n must be a whole number, got None"),
        (
            lambda: checks.whole("n", torch.ones(2, dtype=torch.int), 1),
            "n must be a whole number of at least 1, got tensor([1, 1], dtype=torch.int32)",
        ),
        (lambda: checks.number("x", 0, checks.POSITIVE), "x must be positive, got 0"),
        (lambda: checks.number("x", "1", checks.POSITIVE), "x must be a number, positive, got '1'"),
        (
            lambda: checks.number("x", np.True_, checks.POSITIVE),
            "x must be a number, positive, got np.True_",
        ),
        (lambda: checks.number("x", math.inf, checks.POSITIVE), "x must be finite, got inf"),
        (lambda: checks.number("x", ENDLESS, checks.POSITIVE), "x must be finite, got a int"),
        (
            lambda: checks.number("x", math.nan, checks.NOT_NEGATIVE),
            "x must be at least 0, got nan",
        ),
        (lambda: checks.number("x", 1, checks.PROBABILITY), "x must be in [0, 1), got 1"),
        (
            lambda: checks.share("x", None),
            "x must be a number of at least 0 and below 1, got None",
        ),
        (lambda: checks.share("x", 1), "x must be a number of at least 0 and below 1, got 1"),
        (lambda: checks.truth("f", 1), "f must be True or False, got 1"),
        (
            lambda: checks.truth("f", np.array([True])),
            "f must be True or False, got array([ True])",
        ),
        (lambda: checks.text("t", ""), "t must be a text, got ''"),
        (lambda: checks.text("t", 3), "t must be a text, got 3"),
        (
            lambda: checks.choice("kind", "alpa", iter(["alpha", "beta"])),
            "unknown kind 'alpa'; did you mean 'alpha'? (known: alpha, beta)",
        ),
        (lambda: checks.choice("kind", ["a"], ["a"]), "unknown kind ['a'] (known: a)"),
        (lambda: checks.texts("t", "ab"), "t must be a list of names, got 'ab'"),
        (lambda: checks.texts("t", ["a", 3]), "t must be a list of names, got 3 in it"),
        (lambda: checks.as_path("p", ""), "p must be a path, got ''"),
        (lambda: checks.as_path("p", b"a"), "p must be a path, got b'a'"),
        (lambda: checks.as_path("p", "a\0"), r"p 'a\x00': a path cannot have a null byte"),
        (
            lambda: checks.as_path("p", "é" * 2048)[0],
            f"p '{'é' * 47}...{'é' * 48}': a path cannot be longer than 4095 bytes",
        ),
    ],
)
def test_another_value_is_one_line(
    call: Callable[[], Any], expected: str, message: Callable[..., str]
) -> None:
    assert message(ValueError, call) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: checks.instance("i", "3", int, "a number"), "i must be a number, got '3'"),
        (lambda: checks.function("f", 3), "f must be a function, got 3"),
        (lambda: checks.several("s", "ab", str, "texts"), "s must be a list of texts, got 'ab'"),
        (
            lambda: checks.several("s", [1, "2"], int, "numbers"),
            "s must be a list of numbers, got '2' in it",
        ),
        (
            lambda: checks.several("s", torch.ones(1), torch.Tensor, "tensors"),
            "s must be a list of tensors, got tensor([1.])",
        ),
    ],
)
def test_another_type_is_one_line(
    call: Callable[[], Any], expected: str, message: Callable[..., str]
) -> None:
    assert message(TypeError, call) == expected


def test_what_can_be_gone_through_once_is_left_alone() -> None:
    once = iter([1, 2])
    with pytest.raises(TypeError, match="s must be a list of numbers, got <"):
        checks.several("s", once, int, "numbers")
    assert list(once) == [1, 2]
