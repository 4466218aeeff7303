"""From what a file or a trial's parameters hold to settings: those of the task of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nni_darts._common.validation import validated
from nni_darts.tasks.base import IMAGES, TEXT, Task, of_data
from nni_darts.tasks.images.settings import ImageRun, ImageSettings, ImageTraining
from nni_darts.tasks.language.settings import TextRun, TextSettings, TextTraining
from nni_darts.tasks.settings import Run, Settings, Training
from nni_darts.tasks.stage import Stage

_SETTINGS: Mapping[Task, type[Settings]] = {IMAGES: ImageSettings, TEXT: TextSettings}
_RUNS: Mapping[Task, type[Run]] = {IMAGES: ImageRun, TEXT: TextRun}
TRAININGS: Mapping[Task, type[Training]] = {IMAGES: ImageTraining, TEXT: TextTraining}


def task_of(values: Mapping[str, Any]) -> Task:
    """By the data; images where it is not said."""
    data = values.get("data")
    return of_data(str(data.get("name") if isinstance(data, Mapping) else data))


def parse(values: Mapping[str, Any]) -> Settings:
    """Settings from what a YAML file holds.

    Raises:
        SettingsError: with a line per mistake: the key, what is allowed, what came.
    """
    return validated(_SETTINGS[task_of(values)], values)


def parse_run(values: Mapping[str, Any]) -> Run:
    """A run from the parameters of a trial. Raises SettingsError as `parse` does."""
    return validated(_RUNS[task_of(values)], values)


def parse_training(task: Task, values: Mapping[str, Any]) -> Training:
    """The settings of a training without an experiment, texts as a command line has them.

    Raises:
        SettingsError: as `parse` does.
    """
    return validated(TRAININGS[task], {name: _typed(value) for name, value in values.items()})


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
    return _RUNS[settings.task](
        **settings.model_dump(),
        stage=stage,
        seed=seed,
        genotype=genotype,
    )
