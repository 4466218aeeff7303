from __future__ import annotations

from typing import Any

import golden
import pytest

from nni_darts.genotypes.nas_bench_201 import EDGES, LABELS, OPERATIONS, Cell201

TEXT = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_3x3~1|none~2|"


def test_edges_come_by_target_and_then_by_source() -> None:
    # Trap 8: 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
    assert EDGES == ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
    cell = Cell201.parse(TEXT)
    assert cell[2, 1] == "skip_connect"
    assert cell[3, 0] == "avg_pool_3x3"
    assert cell.operations == (
        "nor_conv_1x1",
        "none",
        "skip_connect",
        "avg_pool_3x3",
        "nor_conv_3x3",
        "none",
    )
    assert cell.sample["cell_2_1"] == "skip_connect"


def test_what_is_written_is_read() -> None:
    cell = Cell201.parse(TEXT)
    assert str(cell) == TEXT
    assert Cell201.parse(f" {TEXT}\n") == cell
    assert Cell201.from_sample({**cell.sample, "another": 1}) == cell


@pytest.mark.parametrize("name", ["counts", "archs"])
def test_the_texts_of_the_benchmark(name: str) -> None:
    cases = golden.load(f"variants/nb201_{name}.json")
    for case in cases["archs" if name == "counts" else "cases"]:
        assert str(Cell201.parse(case["arch"])) == case["arch"]


def test_the_names_of_the_benchmark() -> None:
    reference = golden.load("variants/nb201_archs.json")
    assert reference["ops"] == list(OPERATIONS)
    assert reference["edges"] == [f"{target}<-{source}" for target, source in EDGES]


FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (7, f"an architecture must be a text such as {FORM}, got 7"),
        (
            "|none~0|+|none~0|none~1|",
            f"an architecture must have 3 nodes joined by +, as {FORM}, got 2 in "
            "'|none~0|+|none~0|none~1|'",
        ),
        (
            TEXT.replace("|none~0|skip", "none~0|skip"),
            "node 2: must be |op~0|op~1|, got 'none~0|skip_connect~1|'",
        ),
        (
            TEXT.replace("skip_connect~1|", ""),
            "node 2: must be |op~0|op~1|, got '|none~0|'",
        ),
        (
            TEXT.replace("skip_connect~1", "skip_connect~0"),
            "edge 2<-1: must be an operation and ~1, got 'skip_connect~0'",
        ),
        (
            TEXT.replace("nor_conv_3x3", "nor_conv_5x5"),
            "edge 3<-1: unknown operation 'nor_conv_5x5'; did you mean 'nor_conv_3x3'? "
            f"(known: {', '.join(OPERATIONS)})",
        ),
        (TEXT.replace("none~2", "~2"), "edge 3<-2: must be an operation and ~2, got '~2'"),
    ],
)
def test_a_text_that_is_none(text: Any, expected: str, message: Any) -> None:
    assert message(ValueError, Cell201.parse, text) == expected


def test_a_text_that_is_far_too_long_is_not_looked_into(message: Any) -> None:
    said = message(ValueError, Cell201.parse, "|none~0|+" * 1_000)
    assert said.startswith(f"an architecture must be a text such as {FORM}, got '|none~0|")


def test_a_sample_that_lacks_an_edge(message: Any) -> None:
    sample = Cell201.parse(TEXT).sample
    del sample[LABELS[3, 1]]
    said = message(ValueError, Cell201.from_sample, sample)
    assert said == "the sample of a NasBench201 lacks cell_3_1"


def test_operations_of_another_number(message: Any) -> None:
    said = message(ValueError, Cell201, ("none",) * 5)
    assert said == "operations must be 6 names, one for each edge, got 5"
