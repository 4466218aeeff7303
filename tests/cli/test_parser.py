from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest

from nni_darts.cli import parser


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("10", 10), ("007", 7)])
def test_whole_numbers(text: str, number: int) -> None:
    assert parser.whole(3, 10)(text) == number


@pytest.mark.parametrize("text", ["2", "11", "+3", "-3", "3.0", " 3", "٣", "1_0", "", "1" * 5000])
def test_what_is_no_whole_number_of_the_range(text: str, message: Callable[..., str]) -> None:
    said = message(ArgumentTypeError, parser.whole(3, 10), text)
    assert said.startswith(f"expected a whole number from 3 to 10, got '{text[:12]}")
    assert len(said) < 100


def test_a_range_without_an_end(message: Callable[..., str]) -> None:
    assert parser.whole(3)("9" * 100) == int("9" * 100)
    assert message(ArgumentTypeError, parser.whole(3), "2") == (
        "expected a whole number of at least 3, got '2'"
    )


def test_paths(message: Callable[..., str]) -> None:
    assert parser.path("a/b") == Path("a/b")
    assert parser.root("a/b") == "a/b"
    for kind in (parser.path, parser.root):
        assert message(ArgumentTypeError, kind, "") == "expected a path, got nothing"


def test_a_mistake_is_one_line_that_leads_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    made = parser.Parser(prog="nni-darts draw")
    made.add_argument("--top-k", type=parser.whole(1))
    assert made.parse_args(["--top-k", "2"]).top_k == 2
    with pytest.raises(SystemExit) as caught:
        made.parse_args(["--top-k", "0\n"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        r"error: argument --top-k: expected a whole number of at least 1, got '0\n'; "
        "for help: nni-darts draw --help\n"
    )
    with pytest.raises(SystemExit):
        made.parse_args(["a\nb"])
    assert capsys.readouterr().err == (
        r"error: unrecognized arguments: a\nb; for help: nni-darts draw --help" "\n"
    )
