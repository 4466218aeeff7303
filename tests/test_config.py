from __future__ import annotations

from typing import Any

import pytest

from nni_darts import protocol
from nni_darts.config import SettingsError, parse, parse_run

GOOD: dict[str, Any] = {
    "space": {"name": "DartsCNN", "channels": 8},
    "data": {"name": "digits"},
    "search": {"seeds": [3, 5], "epochs": 2},
}


def change(**search: Any) -> dict[str, Any]:
    return {**GOOD, "search": {**GOOD["search"], **search}}


def test_good_settings() -> None:
    settings = parse(GOOD)
    assert settings.space.arguments == {"channels": 8}
    assert settings.search.seeds == (3, 5)
    # The paper's, where nothing is said.
    assert settings.search.arc_learning_rate == 3e-4
    assert settings.search.hypergradient == "finite_difference"


def test_settings_are_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        parse(GOOD).search.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (change(epoch=3), "search.epoch: unknown key 'epoch'; did you mean 'epochs'?"),
        ({**GOOD, "spaces": {}}, "spaces: unknown key 'spaces'; did you mean 'space'?"),
        ({"data": {"name": "digits"}}, "space: field required"),
        ({**GOOD, "data": {}}, "data.name: field required"),
        (change(hypergradient="second"), "search.hypergradient: input should be"),
        (change(epochs=0), "search.epochs: input should be greater than or equal to 1, got 0"),
        (change(batch_size="many"), "search.batch_size: input should be a valid integer"),
        (change(seeds=[]), "search.seeds: at least one seed is needed"),
        (change(seeds=[1, 1]), "search.seeds: the seeds must be distinct"),
        (change(seeds=[-1]), "search.seeds.0: input should be greater than or equal to 0"),
        (change(momentum=1.0), "search.momentum: input should be less than 1, got 1.0"),
        (change(learning_rate=float("nan")), "search.learning_rate: input should be a finite"),
        (change(precision="16-mixed"), "search.precision: input should be"),
        ({**GOOD, "search": 3}, "search: input should be"),
    ],
)
def test_bad_settings(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(values)
    assert any(problem.startswith(expected) for problem in caught.value.problems)
    assert all("\n" not in problem for problem in caught.value.problems)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(change(epochs=0, momentum=-1, hypergradien="exact"))
    assert len(caught.value.problems) == 3


def test_numbers_as_yaml_reads_them() -> None:
    # YAML 1.1 takes 3e-4, without a dot, for text.
    assert parse(change(arc_learning_rate="3e-4")).search.arc_learning_rate == 3e-4


def test_the_protocol_is_a_search_for_each_seed() -> None:
    settings = parse(GOOD)
    runs = protocol.runs(settings)
    assert [(run.stage, run.seed) for run in runs] == [("search", 3), ("search", 5)]
    assert [parse_run(run.model_dump(mode="json")) for run in runs] == runs
    issued: list[str] = []
    while (run := protocol.next_run(settings, issued)) is not None:
        issued.append(protocol.key(run))
    assert issued == ["search 3", "search 5"]
