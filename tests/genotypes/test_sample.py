from __future__ import annotations

from collections.abc import Callable

import pytest

from nni_darts.genotypes.sample import Sample


def test_it_reads_what_it_writes() -> None:
    sample = Sample({"first": "conv", "depth": 2, "inputs": [0, 1]})
    assert Sample.parse(sample.to_json()) == sample
    assert list(Sample.parse(sample.to_json()).choices) == ["first", "depth", "inputs"]


def test_the_digest_is_of_the_choices_in_any_order() -> None:
    sample = Sample({"first": "conv", "depth": 2})
    assert sample.digest == Sample({"depth": 2, "first": "conv"}).digest
    assert sample.digest != Sample({"first": "conv", "depth": 3}).digest
    assert len(sample.digest) == 8
    assert set(sample.digest) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "conv", '{"a": ', "[" * 40_000, '{"a": "' + "x" * 50_000 + '"}'],
    ids=range(7),
)
def test_other_texts(text: str, message: Callable[..., str]) -> None:
    assert "a sample must be JSON of at most" in message(ValueError, Sample.parse, text)
