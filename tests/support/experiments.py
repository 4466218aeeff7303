"""Experiments as NNI stores them, without NNI."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nni_darts.experiment import nni_database
from nni_darts.genotypes import genotype_json
from nni_darts.genotypes.random_cells import draw, draw_recurrent

ROOT = Path(__file__).parents[2]

A, B, C = (genotype.to_json() for genotype in draw(3, 0))
NAME_A, NAME_B, NAME_C = map(genotype_json.digest, (A, B, C))
SAMPLE = '{"layer": 1}'
"""An architecture of a space that is not one of cells."""

R, S = (genotype.to_json() for genotype in draw_recurrent(2, 0))
"""Of recurrent cells."""

VERSIONS = {"python": "3.11.7", "torch": "2.6.0", "pytorch-lightning": "2.5.0", "nni": "3.0"}

TRAINING: dict[str, Any] = {
    "channels": 4,
    "num_cells": 3,
    "epochs": 2,
    "auxiliary_weight": 0,
    "cutout": 0,
}
SETTINGS: dict[str, Any] = {
    "space": {"name": "DartsCNN", "channels": 4, "num_cells": 3},
    "data": {"name": "digits"},
    "search": {"seeds": [0, 1], "epochs": 2, "top_k": 2},
    "select": TRAINING,
    "evaluate": {**TRAINING, "seeds": [0, 1], "batch_size": 64},
}
"""2 searches, 2 trainings to select, 2 to evaluate."""

TEXT_TRAINING: dict[str, Any] = {"embedding": 4, "hidden": 4, "epochs": 2}
TEXT_SETTINGS: dict[str, Any] = {
    "space": {"name": "DartsRNN", "embedding": 4, "hidden": 4},
    "data": {"name": "alice"},
    "search": {"seeds": [0, 1], "epochs": 2},
    "select": TEXT_TRAINING,
    "evaluate": {**TEXT_TRAINING, "seeds": [0, 1]},
}
"""The same on text."""

Outcome = dict[str, Any]
"""What came of a trial: its result, or its status and the key that it reported."""


def searched(seed: int, *found: tuple[float, str]) -> Outcome:
    """The result of a search: score and architecture, best first."""
    fields = _result("search", f"search-{seed}", seed, {"val_acc": 0.5, "default": 0.5})
    for rank, (score, text) in enumerate(found, 1):
        fields |= {f"score_{rank}": score, f"genotype_{rank}": text}
    return fields


def selected(text: str, val_acc: float) -> Outcome:
    return _trained("select", text, 0, {"val_acc": val_acc, "default": val_acc})


def evaluated(text: str, seed: int, test_acc: float) -> Outcome:
    accuracies = {"val_acc": 0.8, "test_acc": test_acc, "default": 0.8}
    return _trained("evaluate", text, seed, accuracies)


def as_text(outcome: Outcome) -> Outcome:
    """The outcome of a trial on text: what were accuracies are perplexities."""
    return {name.replace("_acc", "_ppl"): value for name, value in outcome.items()}


def ended(status: str, key: str | None = None) -> Outcome:
    """A trial without a result: its status, and its run if it has reported an epoch."""
    return {"status": status, "key": key}


def _trained(stage: str, text: str, seed: int, accuracies: Outcome) -> Outcome:
    key = f"{stage}-{genotype_json.digest(text)}-{seed}"
    counts = {"params": 4474, "multiply_adds": 79936, "best_epoch": 1}
    weights = {"genotype": text, "weights": f"/far/runs/{key}/best.ckpt"}
    return _result(stage, key, seed, {**accuracies, **counts, **weights})


def _result(stage: str, key: str, seed: int, fields: Outcome) -> Outcome:
    always = {"epochs": 2, "seconds": 1.5, "device": "cpu", "versions": json.dumps(VERSIONS)}
    return {"stage": stage, "key": key, "seed": seed, **always, **fields}


WHOLE = [
    searched(0, (-3.0, A)),
    searched(1, (-4.0, B)),
    selected(A, 0.6),
    selected(B, 0.5),
    evaluated(A, 0, 0.96),
    evaluated(A, 1, 0.98),
]
"""The outcomes of an experiment that is over, with `SETTINGS`."""


def store(
    home: Path,
    id_: str,
    outcomes: Sequence[Outcome],
    class_name: str = nni_database.TUNER,
    start: int = 1,
    settings: dict[str, Any] | None = None,
    **config: Any,
) -> nni_database.Experiment:
    """Write an experiment to a home folder; its trials are trial0, trial1, ...

    Args:
        home: where NNI has its folder nni-experiments.
        id_: of the experiment.
        outcomes: of the trials, in order.
        class_name: of the tuner.
        start: when it was started; the latest experiment is the default of the commands.
        settings: the tuner's classArgs, `SETTINGS` by default.
        config: more keys of the experiment file.
    """
    experiments = home / "nni-experiments"
    (experiments / id_ / "db").mkdir(parents=True)
    record = experiments / ".experiment"
    known = json.loads(record.read_text()) if record.exists() else {}
    known[id_] = {"id": id_, "startTime": start, "logDir": str(experiments)}
    record.write_text(json.dumps(known))
    params = _as_nni_does(home, class_name, SETTINGS if settings is None else settings) | config
    with sqlite3.connect(experiments / id_ / "db" / "nni.sqlite") as db:
        db.execute("create table TrialJobEvent (timestamp int, trialJobId text, event text)")
        db.execute("create table MetricData (timestamp int, trialJobId text, type text, data text)")
        db.execute("create table ExperimentProfile (params text, revision int)")
        db.execute("insert into ExperimentProfile values (?, 1)", [json.dumps(params)])
        for number, outcome in enumerate(outcomes):
            trial, result = f"trial{number}", "stage" in outcome
            status = "SUCCEEDED" if result else outcome["status"]
            for event in dict.fromkeys(("WAITING", "RUNNING", status)):
                db.execute("insert into TrialJobEvent values (?, ?, ?)", [number, trial, event])
            reports = [
                ("PERIODICAL", {"default": 0.1 * epoch, "epoch": epoch, "key": outcome["key"]})
                for epoch in (0, 1, 1)
                if outcome["key"] is not None
            ]
            for kind, report in [*reports, *([("FINAL", outcome)] if result else [])]:
                row = [number, trial, kind, json.dumps(json.dumps(report))]
                db.execute("insert into MetricData values (?, ?, ?, ?)", row)
    db.close()
    return nni_database.require_experiment(id_, experiments)


def _as_nni_does(home: Path, class_name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """An experiment file with all that NNI adds to it."""
    command = {"trialCommand": "python -m nni_darts.trial", "trialCodeDirectory": str(ROOT)}
    tuner = {"className": class_name, "codeDirectory": str(ROOT), "classArgs": settings}
    service = {"platform": "local", **command, "debug": False, "maxTrialNumberPerGpu": 1}
    return {
        "experimentName": "test",
        "experimentType": "hpo",
        "searchSpace": {},
        **command,
        "trialConcurrency": 1,
        "maxTrialNumber": 9,  # as the tuner may have changed it
        "useAnnotation": False,
        "debug": False,
        "logLevel": "info",
        "experimentWorkingDirectory": str(home / "nni-experiments"),
        "tuner": tuner,
        "trainingService": {**service, "reuseMode": False},
    }
