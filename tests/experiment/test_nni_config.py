from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nni.experiment.config import utils

from nni_darts._common.validation import SettingsError
from nni_darts.experiment import nni_config

GOOD: dict[str, Any] = {
    "trialCommand": "python -m nni_darts.trial",
    "trialConcurrency": 1,
    "searchSpace": {},
    "tuner": {"className": "a.B", "codeDirectory": "."},
    "trainingService": {"platform": "local"},
}


def made(folder: Path, **changes: Any) -> Any:
    return nni_config.experiment_config({**GOOD, **changes}, folder)


def test_paths_refer_to_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    config = made(tmp_path, trialCodeDirectory="code", maxTrialNumber=7)
    assert config.max_trial_number == 7
    assert config.training_service.platform == "local"
    with pytest.raises(SettingsError, match=r'trialCodeDirectory: .*/none" is not a directory'):
        made(tmp_path, trialCodeDirectory="none")
    # Neither leaves the folder behind for what NNI reads next.
    assert utils.get_base_path() == Path()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"maxTrialNumber": []},
            "maxTrialNumber: NNI does not take [], it must be Optional[int]",
        ),
        ({"trialConcurrency": None}, "trialConcurrency: NNI does not take None, it must be int"),
        (
            {"trialGpuNumber": -1},
            "trialGpuNumber: NNI does not take it: AssertionError, and it does not say why",
        ),
        (
            {"trainingService": {"platform": "locl"}},
            "trainingService.platform: unknown platform 'locl'; did you mean 'local'? (known: aml, "
            "dlc, frameworkcontroller, kubeflow, local, openpai, remote)",
        ),
        (
            {"trainingService": [{"platform": "local"}, {"platform": 3}]},
            "trainingService.platform: unknown platform 3 (known: aml, dlc, frameworkcontroller, "
            "kubeflow, local, openpai, remote)",
        ),
        (
            {"trainingService": {"platform": "local", "useActiveGpu": "yes"}},
            "trainingService.useActiveGpu: NNI does not take 'yes', it must be Optional[bool]",
        ),
        (
            {"trainingService": {"platform": "local", "maxTrialNumberPerGpu": True}},
            "trainingService.maxTrialNumberPerGpu: must be a number, got True",
        ),
        (
            {"trainingService": {"platform": "remote", "machineList": []}},
            "trainingService: NNI does not take it: RemoteConfig: must provide at least one "
            "machine in machine_list",
        ),
    ],
)
def test_an_objection_of_nnis_has_its_key(
    changes: dict[str, Any], expected: str, tmp_path: Path, message: Callable[..., str]
) -> None:
    assert message(SettingsError, made, tmp_path, **changes) == expected


def test_flags_that_are_flags(tmp_path: Path) -> None:
    service = {"platform": "local", "useActiveGpu": True, "maxTrialNumberPerGpu": 2}
    config = made(tmp_path, trainingService=service, trialGpuNumber=1)
    assert config.training_service.use_active_gpu is True
