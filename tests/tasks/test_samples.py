"""A task in a package of its own goes through all stages as those that ship do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from toy_task import TOY, ToyRun, ToySettings, ToyTask

from experiments import evaluated, searched, store
from nni_darts._common.validation import SettingsError
from nni_darts.experiment import protocol, results
from nni_darts.experiment.check import check
from nni_darts.experiment.report import html
from nni_darts.genotypes.random_cells import draw
from nni_darts.genotypes.sample import Sample
from nni_darts.runs.run_key import key
from nni_darts.runs.stages import STAGES
from nni_darts.tasks.images.settings import ImageSettings
from nni_darts.tasks.registry import parse, parse_run

SETTINGS: dict[str, Any] = {
    "space": {"name": "toy_parts.ToySpace"},
    "data": {"name": "vectors", "task": "toy_task.ToyTask", "size": 60},
    "search": {"seeds": [0, 1], "arc_learning_rate": 0.2, "top_k": 2},
    "select": {"per_search": 2, "epochs": 6, "learning_rate": 0.05},
    "evaluate": {"seeds": [3], "width": 5, "epochs": 8, "learning_rate": 0.05},
}


def test_its_settings_are_found_by_its_class() -> None:
    settings = parse(SETTINGS)
    assert type(settings) is ToySettings
    assert settings.task == TOY
    assert settings.data.arguments == {"size": 60}
    plain = parse({"data": {"name": "digits"}, "space": {"name": "DartsCNN"}})
    assert type(plain) is ImageSettings
    with pytest.raises(SettingsError, match=r"evaluate.hight: unknown key 'hight'.*, width"):
        parse({**SETTINGS, "evaluate": {"hight": 3}})


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("toy_task.ToyTusk", "data.task: unknown class in toy_task 'ToyTusk'; did you mean 'ToyT"),
        ("toy_task.ToyRun", "data.task: toy_task.ToyRun must be a subclass of Task"),
        ("toy_tusk.ToyTask", "data.task: cannot import 'toy_tusk': No module named 'toy_tusk'"),
        ("vectors", "data.task: unknown task 'vectors'"),
        (3, "data.task: must be package.module.Class, got 3"),
        ("nni_darts.tasks.samples.SampleTask", "data.task: TypeError: Can't instantiate abstract"),
    ],
)
def test_a_class_that_is_no_task(task: object, expected: str, message: Callable[..., str]) -> None:
    data = {"name": "vectors", "task": task}
    assert expected in message(SettingsError, parse, {**SETTINGS, "data": data})


def test_search_select_and_evaluate(tmp_path: Path) -> None:
    """By the protocol, and by what NNI carries: every run is text between the two."""
    settings = parse(SETTINGS)
    outcomes: dict[str, dict[str, Any]] = {}
    while not (plan := protocol.make_plan(settings, outcomes, {})).over:
        assert plan.problem is None
        for planned in plan.ready:
            run = parse_run(json.loads(planned.model_dump_json(exclude_defaults=True)))
            assert type(run) is ToyRun
            result = STAGES[run.stage](run, tmp_path / key(run), lambda report: None)
            outcomes[key(run)] = json.loads(json.dumps(result))
    stages = [result["stage"] for result in outcomes.values()]
    assert stages.count("search") == 2
    assert stages[-1] == "evaluate"
    selected = protocol.winner(settings, outcomes, {})
    assert selected is not None
    sample = Sample.parse(selected)
    assert sample.choices.keys() == {"first", "second"}
    assert "gone" not in sample.choices.values()

    best = outcomes[f"evaluate-{sample.digest}-3"]
    linear = list(sample.choices.values()).count("linear")
    assert best["params"] == (8 * 5 + 5) + linear * (5 * 5 + 5) + (5 * 3 + 3)
    assert best["test_acc"] > 0.9
    # The weights of the best epoch, not of the last, and not fresh ones.
    data = TOY.training_data("vectors", 32, 0, size=60)
    network = TOY.trained(Path(best["weights"]), sample, settings.evaluate, data)
    assert TOY.test(network, data, torch.device("cpu"))["test_loss"] == best["test_loss"]


def test_its_results_are_shown(home: Path) -> None:
    sample = Sample({"first": "linear", "second": "identity"})
    text, name = sample.to_json(), f"evaluate-{sample.digest}-3"
    evaluation = {
        **evaluated(draw(1, 0)[0].to_json(), 3, 0.9),
        "key": name,
        "genotype": text,
        "weights": f"/far/runs/{name}/best.ckpt",
    }
    experiment = store(home, "abc", [searched(0, (-1.0, text)), evaluation], settings=SETTINGS)
    assert list(results.table(experiment)["genotype"]) == ["", sample.digest]
    assert f"{sample.digest}: test accuracy 90.00% (1 training)" in results.summary(experiment)
    page = html(experiment)
    assert f"evaluate-{sample.digest}-3/best.ckpt" in page
    assert "nni-darts run experiment.yml" in page
    assert "nni-darts retrain" not in page


def test_its_experiment_file_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    support = Path(__file__).parents[1] / "support"
    # It is found in the trialCodeDirectory, as in a trial.
    monkeypatch.setattr(sys, "path", [p for p in sys.path if Path(p) != support])
    for name in ("toy_task", "toy_parts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    tuner = {
        "codeDirectory": str(support),
        "className": "nni_darts.tuner.DartsProtocol",
        "classArgs": SETTINGS,
    }
    file = {
        "experimentName": "vectors",
        "trialCommand": "python -m nni_darts.trial",
        "trialCodeDirectory": str(support),
        "trialConcurrency": 1,
        "maxTrialNumber": 7,
        "searchSpace": {},
        "tuner": tuner,
        "trainingService": {"platform": "local"},
    }
    path = tmp_path / "vectors.yml"
    path.write_text(yaml.safe_dump(file))
    _, settings = check(path)
    assert type(settings.task).__name__ == ToyTask.__name__
    for space, expected in (
        ("DartsRNN", "space: DartsRNN is for text, and the data is vectors"),
        ("DartsCNN", "tuner.classArgs.evaluate: Label first is missing from sample"),
    ):
        tuner["classArgs"] = {**SETTINGS, "space": {"name": space}}
        path.write_text(yaml.safe_dump(file))
        with pytest.raises(SettingsError, match=expected):
            check(path, quick=True)
