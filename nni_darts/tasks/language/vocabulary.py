"""Texts as numbers: separate words, a mark at the end of every line, the training's vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nni_darts._common.messages import shown

EOS = "<eos>"
"""Mark of the end of a line."""
UNKNOWN = "<unk>"
"""Word that stands for those that the vocabulary lacks, if the training text has it."""


class TextError(ValueError):
    """A text that cannot be learnt from or measured on."""


@dataclass(frozen=True)
class Vocabulary:
    """The distinct words of a training text, in the order in which they come."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """Vocabulary of all words of a text, and the mark at the end of its lines."""
        return cls(tuple(dict.fromkeys(w for line in _lines(text) for w in _words(line))))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Positions of the words."""
        return {word: number for number, word in enumerate(self.words)}

    def encode(self, text: str, name: str) -> Tensor:
        """The words of a text as int64 (N,), one `EOS` for every line.

        Args:
            text: its lines, also empty ones, have words that spaces separate.
            name: name of the text, for the message.

        Raises:
            TextError: there is no word in it; or one that the vocabulary lacks, and no `UNKNOWN`.
        """
        if not text.strip():
            raise TextError(f"{name} is empty; it must hold words, with spaces between them")
        numbers, unknown = self.numbers, self.numbers.get(UNKNOWN)
        found: list[int] = []
        for count, line in enumerate(_lines(text), 1):
            for word in _words(line):
                number = numbers.get(word, unknown)
                if number is None:
                    raise TextError(
                        f"{name}, line {count}: the training text has no word "
                        f"{shown(word)}, and no {UNKNOWN} to stand for it; put "
                        f"{UNKNOWN} for rare words of the training text, or take the word out"
                    )
                found.append(number)
        return torch.tensor(found, dtype=torch.int64)


def _lines(text: str) -> list[str]:
    # Not splitlines, which takes characters of the text itself for the end of a line.
    return text.removesuffix("\n").split("\n")


def _words(line: str) -> Iterable[str]:
    return (*line.split(), EOS)
