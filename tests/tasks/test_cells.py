from __future__ import annotations

from collections.abc import Callable

from nni_darts.genotypes.published import get, names
from nni_darts.tasks.registry import IMAGES, TEXT


def test_published_genotypes_are_of_one_task(message: Callable[..., str]) -> None:
    for name in names():
        task, other = (TEXT, IMAGES) if name.startswith("RNN_") else (IMAGES, TEXT)
        task.require(get(name))
        assert f"is needed for {other.name}, got" in message(ValueError, other.require, get(name))


def test_cells_of_another_kind_name_the_data_they_are_for(message: Callable[..., str]) -> None:
    assert message(ValueError, IMAGES.require, get("RNN_DARTS_V2")) == (
        "a genotype of convolutional cells (normal and reduction) is needed for images, got a "
        "genotype of a recurrent cell; choose another genotype or other data (data alice, ptb, "
        "wikitext2, text)"
    )


def test_a_genotype_that_is_given_must_fit(message: Callable[..., str]) -> None:
    assert IMAGES.given("DARTS_V2") == get("DARTS_V2")
    assert IMAGES.given(get("DARTS_V1").to_json()) == get("DARTS_V1")
    assert "is needed for text, got" in message(ValueError, TEXT.given, "DARTS_V2")


def test_a_space_of_other_choices_is_not_trained(message: Callable[..., str]) -> None:
    IMAGES.require_found(get("DARTS_V2").to_sample())
    TEXT.require_found(get("RNN_DARTS_V2").to_sample())
    other = {**get("DARTS_V2").to_sample(), "width": 3}
    for task, sample, cells in (
        (IMAGES, other, "normal and reduction"),
        (IMAGES, get("RNN_DARTS_V2").to_sample(), "normal and reduction"),
        (TEXT, get("DARTS_V2").to_sample(), "recurrent"),
    ):
        assert message(ValueError, task.require_found, sample) == (
            f"is not a space of {cells} cells, and select and evaluate train such cells only on "
            f"{task.name}; leave out select and evaluate"
        )
