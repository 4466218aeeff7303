from __future__ import annotations

import pytest

from nni_darts._common.messages import LONGEST, line, literal, printable, printable_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sep_conv_3x3 ä é 中", "sep_conv_3x3 ä é 中"),
        ("\x1b[2Jx", "\\x1b[2Jx"),
        ("a\rb\nc\td\x07", "a\\rb\\nc\\td\\x07"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\x9b31m", "\\x9b31m"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_lines_stay_lines() -> None:
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"


def test_dollars_begin_no_formula() -> None:
    assert literal("$5 and $6\x1b") == r"\$5 and \$6\x1b"


def test_a_line_has_no_middle_where_it_is_far_too_long() -> None:
    assert line("short\n") == "short\\n"
    whole = "a" * (LONGEST - 2) + "bc"
    assert line(whole) == whole
    # What is escaped counts as it is printed.
    for long in ("\x1b" + "a" * LONGEST + "b", "\x1b" * LONGEST + "b"):
        text = line(long)
        assert len(text) == LONGEST + len("...")
        assert text.startswith("\\x1b")
        assert text.endswith("b")
        assert "..." in text
