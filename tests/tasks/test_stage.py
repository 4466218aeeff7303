from __future__ import annotations

import json

from nni_darts.tasks.settings import Settings
from nni_darts.tasks.stage import TRAININGS, Stage


def test_a_stage_is_its_name() -> None:
    for stage in Stage:
        assert f"{stage}" == str(stage) == stage.value == stage
        assert f"{stage:<9}|" == f"{stage.value:<9}|"
        assert json.dumps({"stage": stage}) == json.dumps({"stage": stage.value})
        assert Stage(stage.value) is stage
        assert {stage.value: 1}[stage] == 1


def test_the_stages_are_in_order_and_have_settings() -> None:
    assert [stage.number for stage in Stage] == list(range(len(Stage)))
    assert (Stage.SEARCH, *TRAININGS) == tuple(Stage)
    assert {stage.value for stage in Stage} <= set(Settings.model_fields)
