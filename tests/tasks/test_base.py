from __future__ import annotations

from abc import abstractmethod
from inspect import signature

import pytest

from nni_darts._common.metric import ACCURACY
from nni_darts.tasks.cells import CellTask
from nni_darts.tasks.registry import IMAGES, TASKS, TEXT, of_cells, of_data


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
