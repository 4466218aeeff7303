from __future__ import annotations

from pathlib import Path
from typing import Any

import nni
import pytest

from nni_darts.config import parse_run
from nni_darts.tuner import DartsProtocol

GOOD: dict[str, Any] = {
    "space": {"name": "DartsCNN"},
    "data": {"name": "digits"},
    "search": {"seeds": [0, 1, 2]},
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path))


def test_each_seed_is_issued_once_and_then_nothing_more() -> None:
    tuner = DartsProtocol(**GOOD)
    tuner.update_search_space({})
    parameters = tuner.generate_multiple_parameters([0, 1, 2, 3])
    assert [parse_run(p).seed for p in parameters] == [0, 1, 2]
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(4)


def test_a_resumed_tuner_goes_on_where_it_was() -> None:
    DartsProtocol(**GOOD).generate_multiple_parameters([0, 1])
    resumed = DartsProtocol(**GOOD)
    resumed.load_checkpoint()
    assert parse_run(resumed.generate_parameters(2)).seed == 2
    fresh = DartsProtocol(**GOOD)
    assert parse_run(fresh.generate_parameters(0)).seed == 0


def test_wrong_settings_reach_the_trial(caplog: pytest.LogCaptureFixture) -> None:
    wrong = {**GOOD, "search": {"epoch": 3}}
    tuner = DartsProtocol(**wrong)
    assert "did you mean 'epochs'" in caplog.text
    parameters = tuner.generate_multiple_parameters([0, 1])
    assert len(parameters) == 2
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        parse_run(parameters[0])


def test_results_and_ends_are_taken() -> None:
    tuner = DartsProtocol(**GOOD)
    tuner.receive_trial_result(0, tuner.generate_parameters(0), {"default": 0.5})
    tuner.trial_end(0, True)
    tuner.trial_end(1, False)
