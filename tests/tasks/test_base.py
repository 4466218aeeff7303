from __future__ import annotations

import math
from abc import abstractmethod
from inspect import signature

import pytest

from nni_darts._common.metric import ACCURACY, PERPLEXITY, metric_of
from nni_darts.tasks.cells import CellTask
from nni_darts.tasks.registry import IMAGES, TASKS, TEXT, of_cells, of_data


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


def test_the_data_says_what_it_is_for() -> None:
    assert [of_data(name) for name in ("digits", "ptb", "my.Data")] == [IMAGES, TEXT, IMAGES]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_all_its_parts(task: CellTask) -> None:
    stages = task.settings.model_fields
    assert {"search", "select", "evaluate"} <= stages.keys()
    for made in (task.settings, task.run, task.training):
        assert made.task == task
    assert issubclass(task.run, task.settings)
    assert {"name", "batch_size"} <= signature(task.search_data).parameters.keys()
    assert "run_seed" in signature(task.training_data).parameters
    (genotype,) = task.drawn(1, 0)
    assert task.architecture(genotype.to_json()) == genotype
    assert of_cells([cell.kind for cell in genotype.cells]) is task
    used = {name for cell in genotype.cells for node in cell.nodes for name, _ in node}
    assert used <= set(task.primitives)


def test_a_task_that_lacks_a_part_is_none() -> None:
    class NoMetric(type(IMAGES)):  # type: ignore[misc]
        metric = abstractmethod(lambda self: ACCURACY)

    with pytest.raises(TypeError, match="metric"):
        NoMetric()
    assert type(IMAGES)() == IMAGES != TEXT
