from __future__ import annotations

from typing import Any

import pytest

from nni_darts.tasks.language.settings import TextSearch, TextSelect, TextTraining
from nni_darts.tasks.registry import TEXT, parse, parse_training

SEARCH: dict[str, Any] = {"space": {"name": "DartsRNN"}, "data": {"name": "ptb", "root": "x"}}


def test_the_papers_settings_are_the_defaults() -> None:
    # facts.md, section 3
    search = parse(SEARCH).search
    assert isinstance(search, TextSearch)
    assert (search.batch_size, search.epochs, search.bptt) == (256, 50, 35)
    assert (search.learning_rate, search.weight_decay, search.gradient_clip) == (20, 5e-7, 0.25)
    assert (search.arc_learning_rate, search.arc_betas) == (3e-3, (0.9, 0.999))
    assert (search.activation, search.slowness, search.own["virtual_clip"]) == (0, 1e-3, 0.25)
    training = parse_training(TEXT, {})
    assert (
        training.model_dump()
        | {
            "batch_size": 64,
            "hidden": 850,
            "embedding": 850,
            "weight_decay": 8e-7,
            "nonmonotone": 5,
            "dropout_out": 0.75,
            "dropout_h": 0.25,
            "dropout_x": 0.75,
            "dropout_i": 0.2,
            "dropout_e": 0.1,
        }
        == training.model_dump()
    )


def test_only_the_unrolled_step_is_clipped() -> None:
    first = parse({**SEARCH, "search": {"hypergradient": "first_order"}}).search
    assert first is not None
    assert first.own["virtual_clip"] is None
    for given, clip in (
        ("neumann", 0.25),
        ({"name": "exact"}, 0.25),
        ({"name": "exact", "clip": 1.0}, None),
        ("mine.Own", None),
    ):
        search = parse({**SEARCH, "search": {"hypergradient": given}}).search
        assert search is not None
        assert search.own["virtual_clip"] == clip


def test_a_search_needs_two_streams() -> None:
    # The supernet normalises over them.
    assert TextSearch(batch_size=2).batch_size == 2
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        TextSearch(batch_size=1)
    assert TextTraining(batch_size=1).batch_size == 1


def test_how_a_training_is_shown() -> None:
    assert TextTraining(hidden=12, embedding=12).network == "12 hidden units"
    assert (TextSelect().epochs, TextTraining().epochs) == (300, 8000)
