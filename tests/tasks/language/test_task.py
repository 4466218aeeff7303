from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.cell import RNN_PRIMITIVES
from nni_darts.tasks.language.task import TEXT


def test_a_text_is_tested_on_in_one_stream(message: Callable[..., str]) -> None:
    assert TEXT.test_settings(1).batch_size == 1
    assert message(SettingsError, TEXT.test_settings, 2) == (
        "batch_size: a text is tested on as it is read, in one stream, got 2"
    )


WORDS = SimpleNamespace(name="mine", words=("a", "b"), vocabulary=2)


@pytest.mark.parametrize(
    ("trained", "fits"),
    [
        ({"words": ["a", "b"], "vocabulary": 2}, True),
        ({"vocabulary": 2}, True),  # it does not say which words
        ({"words": ["b", "a"], "vocabulary": 2}, False),
        ({"vocabulary": 3}, False),
    ],
)
def test_a_text_of_other_words(trained: dict[str, Any], fits: bool) -> None:
    data: Any = WORDS
    expected = [
        f"was trained with {trained['vocabulary']} words, mine has other words, 2; choose the text "
        "that it was trained on"
    ]
    assert TEXT.misfits(trained, data) == ([] if fits else expected)


def test_the_words_are_the_input() -> None:
    data: Any = WORDS
    assert TEXT.input_of(data) == {"words": ["a", "b"]}


def test_a_text_is_read_to_be_checked() -> None:
    stages: list[str] = []
    data: Any = SimpleNamespace(setup=stages.append, check_test=lambda: stages.append("test"))
    component: Any = None
    TEXT.check_data(component, data)
    TEXT.check_test(component, data)
    assert stages == ["fit", "test"]


def test_random_cells_are_of_all_its_operations() -> None:
    drawn = TEXT.drawn(40, 0)
    used = {edge.operation for g in drawn for node in g.recurrent.nodes for edge in node}
    assert len(drawn) == 40
    assert used == set(RNN_PRIMITIVES) - {"none"}
