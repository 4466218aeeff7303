from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nni_darts._common.validation import SettingsError
from nni_darts.experiment.check import check

EXPERIMENT: dict[str, Any] = {
    "trialCommand": "python -m nni_darts.trial",
    "trialConcurrency": 1,
    "maxTrialNumber": 1,
    "searchSpace": {},
    "trainingService": {"platform": "local"},
    "tuner": {
        "codeDirectory": ".",
        "className": "nni_darts.tuner.DartsProtocol",
        "classArgs": {
            "space": {"name": "DartsCNN", "channels": 4, "num_cells": 3, "num_nodes": 1},
            "data": {"name": "digits"},
            "search": {"seeds": [5], "epochs": 2, "batch_size": 8},
        },
    },
}
MONITOR = {"codeDirectory": ".", "className": "nni_darts.assessor.AlphaMonitor"}
OURS = "tuner.classArgs."
TRAINING = {
    **{"channels": 4, "num_cells": 3, "epochs": 1, "batch_size": 8},
    **{"auxiliary_weight": 0, "cutout": 2},
}


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runs of which a step was taken, which is not taken here."""
    runs: list[Any] = []
    monkeypatch.setattr("nni_darts.runs.rehearsal.search", runs.append)
    return runs


def written(folder: Path, args: dict[str, Any] | None = None, **changes: Any) -> Path:
    """An experiment file with other keys, and other arguments of its tuner."""
    values = copy.deepcopy({**EXPERIMENT, **changes})
    if args is not None:
        values["tuner"]["classArgs"] |= args
    path = folder / "experiment.yml"
    path.write_text(yaml.safe_dump(values))
    return path


def problems(path: Path, quick: bool = True) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        check(path, quick=quick)
    for line in caught.value.problems:
        assert line.startswith(f"{path}: ")
    return [line.removeprefix(f"{path}: ") for line in caught.value.problems]


def test_what_comes_of_a_file(tmp_path: Path, rehearsed: list[Any]) -> None:
    before = list(sys.path)
    config, settings = check(written(tmp_path))
    assert config.max_trial_number == 1
    assert settings.search is not None
    assert settings.search.seeds == (5,)
    assert [(run.stage, run.seed) for run in rehearsed] == [("search", 5)]
    assert sys.path == before
    assert list(tmp_path.iterdir()) == [tmp_path / "experiment.yml"]


def test_a_quick_check_takes_no_step(tmp_path: Path, rehearsed: list[Any]) -> None:
    check(written(tmp_path), quick=True)
    assert rehearsed == []


def test_a_step_that_was_not_taken_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nni_darts.runs.rehearsal.search", lambda run: "it is too large")
    check(written(tmp_path))
    assert capsys.readouterr().err == ("note: no step of the search was tried: it is too large\n")


def test_a_step_that_fails_is_a_mistake_in_the_tuners_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Any) -> None:
        raise SettingsError(["search: the step fails", "data: so does this"])

    monkeypatch.setattr("nni_darts.runs.rehearsal.search", fail)
    assert problems(written(tmp_path), quick=False) == [
        f"{OURS}search: the step fails",
        f"{OURS}data: so does this",
    ]


def test_the_users_modules_are_found_as_in_a_trial(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "checked_space.py").write_text("import no_such_module_of_mine\n")
    before = list(sys.path)
    path = written(tmp_path, {"space": {"name": "checked_space.Space"}}, trialCodeDirectory="code")
    (line,) = problems(path)
    assert line.startswith(
        f"{OURS}space.name: cannot import 'checked_space': No module named 'no_such_module_of_mine'"
    )
    assert sys.path == before


def test_mistakes_of_several_keys_are_told_at_once(tmp_path: Path) -> None:
    tuner = {key: EXPERIMENT["tuner"][key] for key in ("className", "classArgs")}
    path = written(
        tmp_path,
        tuner=tuner,
        trialCommand="PASSWORD=hunter2 python train.py",
        maxTrialNumber=3,
        assessor={"className": MONITOR["className"]},
    )
    assert problems(path) == [
        "tuner.codeDirectory: missing; NNI needs one to import a tuner, any folder will do where "
        "nni-darts is installed: codeDirectory: .",
        "assessor.codeDirectory: missing; any folder will do: codeDirectory: .",
        "trialCommand: must run nni_darts.trial, as in 'python -m nni_darts.trial', got "
        "\"PASSWORD='(left out)' python train.py\"",
        "maxTrialNumber: must be 1, the number of runs of the protocol if none fails, got 3; NNI "
        "ends an experiment at this number only",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"tuner": {"className": "TPE"}},
            "tuner.className: must be nni_darts.tuner.DartsProtocol, got 'TPE'",
        ),
        (
            {"assessor": {**MONITOR, "className": "nni_darts.assessor.AlphaMonitr"}},
            "assessor.className: unknown assessor 'nni_darts.as...r.AlphaMonitr'; did you mean "
            "'nni_darts.assessor.AlphaMonitor'? (known: nni_darts.assessor.AlphaMonitor)",
        ),
        (
            {"assessor": {**MONITOR, "classArgs": {"epochs": 0}}},
            "assessor.classArgs.epochs: input should be greater than or equal to 1, got 0",
        ),
        (
            {"assessor": {**MONITOR, "codeDirectory": "/no/such"}},
            "assessor.codeDirectory: there is no folder /no/such",
        ),
        (
            {"experimentWorkingDirectory": "/dev/null/x"},
            "experimentWorkingDirectory: /dev/null is not a folder",
        ),
        (
            {"maxTrialDuration": "x"},
            "maxTrialDuration: must be a time such as 30m, 12h or 2d, got ",
        ),
        ({"trialConcurrency": None}, "trialConcurrency: "),
    ],
)
def test_a_mistake_has_its_key(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    (line,) = problems(written(tmp_path, **changes))
    assert line.startswith(expected)


def test_another_assessor_is_nnis_business(tmp_path: Path) -> None:
    config, _ = check(written(tmp_path, assessor={"name": "Medianstop"}), quick=True)
    assert config.assessor.name == "Medianstop"


def test_the_stages_are_told_apart(tmp_path: Path) -> None:
    args = {
        "space": {"name": "DartsCNN", "channels": 3},
        "select": {**TRAINING, "channels": 65_536},
        "evaluate": {**TRAINING, "seeds": [0], "channels": 65_536},
    }
    (space,) = problems(written(tmp_path, args, maxTrialNumber=3))
    assert space == f"{OURS}space: channels must be divisible by 2 and positive, got 3"
    args["space"] = EXPERIMENT["tuner"]["classArgs"]["space"]
    found = problems(written(tmp_path, args, maxTrialNumber=3))
    assert [line.split(":")[0] for line in found] == [f"{OURS}select", f"{OURS}evaluate"]
