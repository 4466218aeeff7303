from __future__ import annotations

from typing import Any

import pytest

from nni_darts.tasks.images.settings import ImageSearch, ImageSelect, ImageTraining
from nni_darts.tasks.registry import parse

WHOLE: dict[str, Any] = {
    "space": {"name": "DartsCNN"},
    "data": {"name": "digits"},
    "search": {},
    "select": {},
    "evaluate": {},
}


def test_stages_have_the_papers_defaults() -> None:
    settings = parse(WHOLE)
    assert settings.select is not None
    assert settings.evaluate is not None
    assert (settings.select.epochs, settings.evaluate.epochs) == (100, 600)
    evaluate = settings.evaluate
    assert (evaluate.channels, evaluate.num_cells, evaluate.batch_size) == (36, 20, 96)
    assert (evaluate.auxiliary_weight, evaluate.drop_path, evaluate.cutout) == (0.4, 0.2, 16)


def test_what_the_search_module_is_given() -> None:
    assert ImageSearch(fused=False, recompute=True).own == {"fused": False, "recompute": True}
    assert ImageSearch().own == {"fused": True, "recompute": False}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"learning_rate_decay": 0.9},
            "learning_rate_decay is for schedule: step; the cosine has none",
        ),
        (
            {"schedule": "step", "learning_rate_min": 0.1},
            "learning_rate_min is for schedule: cosine; the steps have none",
        ),
    ],
)
def test_what_the_schedule_does_not_know_is_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        ImageTraining(**given)


def test_a_selection_always_validates() -> None:
    assert not ImageTraining(val_share=0).validates_on_its_own
    assert ImageTraining(val_share=0.1).validates_on_its_own
    assert ImageSelect().val_share == 0.5
    with pytest.raises(ValueError, match="greater than 0"):
        ImageSelect(val_share=0)


def test_how_a_training_is_shown() -> None:
    settings = ImageTraining(channels=4, num_cells=3, devices=2)
    assert settings.network == "4 channels, 3 cells"
    assert settings.processes == 2
