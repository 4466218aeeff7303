from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nni_darts.search.validation import loader, required


def trainer(loaders: Any, *batches: int) -> Any:
    return SimpleNamespace(val_dataloaders=loaders, num_val_batches=list(batches))


def test_the_validation_loader_is_one() -> None:
    assert loader(trainer(["a"], 3)) == "a"
    assert loader(trainer("a", 3)) == "a"
    assert loader(trainer(["a", "b"], 3, 3)) is None
    assert loader(trainer(None)) is None
    assert loader(trainer("a", 0)) is None


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        ({}, "logs no val_acc but nothing; log it"),
        (
            {"val_loss": 1.0},
            "logs no val_acc but val_loss; choose metric: loss, or log it",
        ),
    ],
)
def test_a_metric_that_is_not_logged(logged: Any, expected: str, message: Any) -> None:
    said = message(ValueError, required, logged, "accuracy")
    assert said == f"the selection is by accuracy, and the validation step {expected}"


def test_a_metric_that_is_logged() -> None:
    logged = {"val_loss": 1.0}
    assert required(logged, "loss") is logged
