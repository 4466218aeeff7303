from __future__ import annotations

import json
from typing import Any

import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.random_cells import draw, draw_recurrent
from nni_darts.tasks.images.settings import ImageRun, ImageSettings
from nni_darts.tasks.language.settings import TextRun, TextSettings
from nni_darts.tasks.registry import IMAGES, TASKS, TEXT, parse, parse_run, run_of

CNN, RNN = draw(1, 0)[0].to_json(), draw_recurrent(1, 0)[0].to_json()
SEARCH: dict[str, Any] = {"space": {"name": "DartsRNN"}, "data": {"name": "ptb", "root": "x"}}


def test_settings_are_those_of_the_task() -> None:
    assert type(parse({"space": {"name": "DartsCNN"}, "data": {"name": "digits"}})) is ImageSettings
    settings = parse({**SEARCH, "evaluate": {}})
    assert type(settings) is TextSettings
    run = run_of(settings, "search", 3)
    assert type(run) is TextRun
    assert parse_run(json.loads(run.model_dump_json(exclude_defaults=True))) == run


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({**SEARCH, "search": {"momentum": 0.9}}, "search.momentum: unknown key 'momentum'"),
        ({**SEARCH, "evaluate": {"cutout": 4}}, "evaluate.cutout: unknown key 'cutout'"),
        ({**SEARCH, "select": {"devices": 2}}, "select.devices: unknown key 'devices'"),
        ({**SEARCH, "evaluate": {"hiden": 4}}, "did you mean 'hidden'?"),
        ({**SEARCH, "search": {"batch_size": 1}}, "search.batch_size: input should be greater"),
        (
            {"space": {"name": "DartsCNN"}, "data": {"name": "digits"}, "search": {"bptt": 35}},
            "search.bptt: unknown key 'bptt'",
        ),
        ({**SEARCH, "optimize_mode": "maximize"}, "optimize_mode: must be minimize"),
        (
            {"data": {"name": "ptb"}, "genotypes": ["DARTS_V2"], "evaluate": {}},
            "genotypes: a genotype of a recurrent cell is needed for text, got a genotype of conv",
        ),
        (
            {"data": {"name": "digits"}, "genotypes": ["RNN_DARTS_V2"], "evaluate": {}},
            "a genotype of convolutional cells (normal and reduction) is needed for images, got a",
        ),
    ],
)
def test_keys_and_genotypes_of_the_other_task_are_refused(
    values: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(values)
    (problem,) = caught.value.problems
    assert expected in problem


def test_a_mode_that_is_the_metrics() -> None:
    assert parse({**SEARCH, "optimize_mode": "minimize"}).optimize_mode == "minimize"


def test_a_run_of_either_task() -> None:
    training = {"evaluate": {"epochs": 1}, "stage": "evaluate", "seed": 0}
    image = parse_run({"data": {"name": "digits"}, "genotypes": [CNN], "genotype": CNN, **training})
    text = parse_run({"data": {"name": "ptb"}, "genotypes": [RNN], "genotype": RNN, **training})
    assert (type(image), type(text)) == (ImageRun, TextRun)
    assert (image.training.task, text.training.task) == (IMAGES, TEXT)
    assert set(TASKS) == {IMAGES, TEXT}
