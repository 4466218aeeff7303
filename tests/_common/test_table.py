from __future__ import annotations

from nni_darts._common.table import Column, lines


def test_names_are_to_the_left_and_numbers_to_the_right() -> None:
    columns = [Column("stage", left=True), Column("params"), Column("where", left=True)]
    assert lines(columns, [["search", "7", "here"], ["select", "1,000,000", "-"]]) == [
        "stage      params  where",
        "search          7  here",
        "select  1,000,000  -",
    ]


def test_a_column_may_be_wider_than_what_is_in_it() -> None:
    columns = [Column("a", left=True, width=3), Column("b", width=3)]
    assert lines(columns, []) == ["a      b"]
    assert lines(columns, [["1", "long"]]) == ["a       b", "1    long"]
