from __future__ import annotations

import math

import pytest

from nni_darts._common.metric import ACCURACY, PERPLEXITY, metric_of


def test_the_best_value() -> None:
    values = [2.0, math.nan, 1.0, 3.0, 1.0]
    assert ACCURACY.best(values) == 3
    assert PERPLEXITY.best(values) == 2
    assert sorted(values[2:4], key=ACCURACY.cost) == [3.0, 1.0]
    assert sorted(values[2:4], key=PERPLEXITY.cost) == [1.0, 3.0]


@pytest.mark.parametrize("metric", [ACCURACY, PERPLEXITY])
def test_no_value_is_the_worst(metric: object) -> None:
    assert metric.cost(None) == metric.cost(math.nan) == math.inf  # type: ignore[attr-defined]


def test_names_and_modes() -> None:
    assert (ACCURACY.val, ACCURACY.mode, ACCURACY.optimize_mode) == ("val_acc", "max", "maximize")
    assert (PERPLEXITY.test, PERPLEXITY.mode, PERPLEXITY.optimize_mode) == (
        "test_ppl",
        "min",
        "minimize",
    )


def test_for_people() -> None:
    assert ACCURACY.spread(0.9735, 0.0012) == "97.35 +- 0.12%"
    assert PERPLEXITY.spread(55.68, 0.2) == "55.68 +- 0.20"
    assert PERPLEXITY.spread(55.68, None) == "55.68"


def test_what_a_report_is_of() -> None:
    assert metric_of({"default": 3.0, "train_ppl": 4.0}) is PERPLEXITY
    assert metric_of(["val_ppl", "stage"]) is PERPLEXITY
    assert metric_of({"default": 0.3, "train_acc": 0.4}) is ACCURACY
    assert metric_of({"default": 0.3}) is ACCURACY
