"""The identity of a run, made of its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nni_darts._common.validation import SettingsError
from nni_darts.runs.run_key import key
from nni_darts.tasks.base import Architecture
from nni_darts.tasks.components import Component
from nni_darts.tasks.settings import Run, Training
from nni_darts.tasks.stage import Stage
from nni_darts.training.identity import Identity

_LATER: Mapping[str, Any] = {
    "relaxation": "softmax",
    "regularisers": [],
    "perturbation": None,
    "selection": "strongest",
    "progressive": None,
    "eigenvalue": None,
}
"""Settings that older checkpoints know nothing of, with what these were searched with."""


def of_run(run: Run) -> Identity:
    """The identity of a run of an experiment."""
    if run.stage is not Stage.SEARCH:
        architecture = run.task.architecture(str(run.genotype))
        return of_training(key(run), architecture, run.training, run.data, run.seed)
    if run.search is None or run.space is None:
        raise SettingsError(["search: there is no space to search"])
    settings = run.search.model_dump(mode="json", exclude={"cpu_threads", "seeds"})
    settings = {k: v for k, v in settings.items() if _LATER.get(k) != v}
    what = {
        "stage": run.stage.value,
        "seed": run.seed,
        "space": run.space.model_dump(mode="json"),
        "data": run.data.model_dump(mode="json"),
        "settings": settings,
    }
    return Identity(key(run), json.dumps(what))


def run_of(what: str) -> dict[str, Any]:
    """Parameters of the run of a search, by its identity; ValueError for any other text."""
    values = json.loads(what)
    if not isinstance(values, dict) or values.get("stage") != Stage.SEARCH.value:
        raise ValueError("it is of no search")
    settings = {**values.pop("settings"), "seeds": [values["seed"]]}
    return {**values, "search": settings}


def of_training(
    key: str, architecture: Architecture, settings: Training, data: Component, seed: int
) -> Identity:
    """Identity of a training from scratch."""
    how = settings.model_dump(mode="json", exclude={"cpu_threads"})
    what = {"genotype": json.loads(architecture.to_json()), "seed": seed}
    return Identity(
        key, json.dumps({**what, "data": data.model_dump(mode="json"), "settings": how})
    )
