from __future__ import annotations

from collections.abc import Callable

import pytest

from nni_darts.tasks.language.vocabulary import EOS, TextError, Vocabulary


def test_words_in_order_and_a_mark_at_the_end_of_every_line() -> None:
    vocabulary = Vocabulary.of("the cat\n\nthe dog\n")
    assert vocabulary.words == ("the", "cat", EOS, "dog")
    assert len(vocabulary) == 4
    assert vocabulary.encode("dog\n\n the  cat", "x").tolist() == [3, 2, 2, 0, 1, 2]


def test_only_line_feeds_end_lines() -> None:
    assert Vocabulary.of("a\x0bb\u2028c\r\nd\n").encode("a\r\nd\n", "x").tolist() == [0, 3, 4, 3]


def test_an_unknown_word_is_unk_where_the_training_text_has_it() -> None:
    assert Vocabulary.of("a <unk>").encode("b a", "x").tolist() == [1, 0, 2]


def test_an_unknown_word_without_unk(message: Callable[..., str]) -> None:
    text = message(TextError, Vocabulary.of("a b").encode, "a\nb a\na c b\n", "valid.txt")
    assert text.startswith("valid.txt, line 3: the training text has no word 'c', and no <unk>")


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_text(text: str, message: Callable[..., str]) -> None:
    assert "x is empty" in message(TextError, Vocabulary.of("a").encode, text, "x")
