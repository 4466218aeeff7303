"""The tasks, and from what a file or a trial's parameters hold to the settings of their task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nni_darts._common.classes import class_at, with_place
from nni_darts._common.validation import SettingsError, validated
from nni_darts.tasks.base import Task
from nni_darts.tasks.cells import CellTask
from nni_darts.tasks.components import TASK
from nni_darts.tasks.images.task import IMAGES
from nni_darts.tasks.language.task import TEXT
from nni_darts.tasks.settings import Run, Settings, Training
from nni_darts.tasks.stage import Stage

TASKS: tuple[CellTask, ...] = (IMAGES, TEXT)
"""Tasks that ship; data that none of them names is of the first."""


def of_data(name: str) -> CellTask:
    """The task that a data set is for; a class of the user's own is of images."""
    return next((task for task in TASKS if name in task.data), TASKS[0])


def of_cells(kinds: Sequence[str]) -> CellTask | None:
    """The task whose genotypes have cells of these kinds."""
    return next((task for task in TASKS if tuple(task.cells) == tuple(kinds)), None)


def task_of(values: Mapping[str, Any]) -> Task:
    """The task of settings or of a run, by their data: its key `task`, or else its name.

    Images where nothing is said.

    Raises:
        SettingsError: there is no such class, or it is no whole task.
    """
    data = values.get("data")
    if isinstance(data, Mapping) and data.get(TASK) is not None:
        made = class_at("data.task", "task", data[TASK], Task)
        try:
            return made()  # type: ignore[no-any-return]
        except Exception as error:  # it is the user's
            raise SettingsError([f"data.task: {with_place(error)}"]) from None
    return of_data(str(data.get("name") if isinstance(data, Mapping) else data))


def parse(values: Mapping[str, Any]) -> Settings:
    """Settings from what a YAML file holds.

    Raises:
        SettingsError: with a line per mistake: the key, what is allowed, what came.
    """
    return validated(task_of(values).settings, values)


def parse_run(values: Mapping[str, Any]) -> Run:
    """A run from the parameters of a trial. Raises SettingsError as `parse` does."""
    return validated(task_of(values).run, values)


def parse_training(task: Task, values: Mapping[str, Any]) -> Training:
    """The settings of a training without an experiment, texts as a command line has them.

    Raises:
        SettingsError: as `parse` does.
    """
    return validated(task.training, {name: _typed(value) for name, value in values.items()})


def _typed(value: Any) -> Any:
    """The number that a text is, if it is one."""
    for kind in (int, float):
        try:
            # An underscore is a slip, though Python takes it.
            return kind(value) if isinstance(value, str) and "_" not in value else value
        except ValueError:
            continue
    return value


def run_of(settings: Settings, stage: Stage, seed: int, genotype: str | None = None) -> Run:
    """A run of an experiment."""
    return settings.task.run(
        **settings.model_dump(),
        stage=stage,
        seed=seed,
        genotype=genotype,
    )
