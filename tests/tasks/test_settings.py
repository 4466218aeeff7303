from __future__ import annotations

import json
from typing import Any

import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.tasks.registry import parse, parse_run, run_of

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


@pytest.mark.parametrize(
    "given", ["exact", {"name": "neumann", "terms": 5}, "mine.Own", {"name": "mine.Own", "a": [1]}]
)
def test_a_hypergradient_comes_through_as_it_was_given(given: Any) -> None:
    settings = parse(change(hypergradient=given))
    assert settings.search is not None
    assert settings.search.parts["hypergradient"] == given
    run = run_of(settings, "search", 3)
    text = run.model_dump_json(exclude_defaults=True)
    assert json.loads(text)["search"]["hypergradient"] == given
    assert parse_run(json.loads(text)) == run


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
        (
            change(relaxation="softmx"),
            "search.relaxation: input should be softmax, sigmoid, gumbel or dirichlet, {name: "
            "..., option: ...} or package.module.Class: unknown relaxation 'softmx'; did you mean "
            "'softmax'?",
        ),
        (change(selection="strong"), "search.selection: input should be strongest"),
        (change(hypergradient="second"), "search.hypergradient: input should be"),
        (
            change(hypergradient={"terms": 5}),
            "search.hypergradient: input should be finite_difference, exact, first_order or "
            "neumann, {name: ..., option: ...} or package.module.Class: hypergradient lacks a name",
        ),
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


WHOLE: dict[str, Any] = {**GOOD, "select": {}, "evaluate": {}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({**GOOD, "select": {"epoch": 1}}, "select.epoch: unknown key 'epoch'; did you mean"),
        ({**GOOD, "select": {"val_share": 0}}, "select.val_share: input should be greater than 0"),
        ({**GOOD, "evaluate": {"val_share": 1}}, "evaluate.val_share: input should be less than 1"),
        ({**GOOD, "evaluate": {"seeds": [1, 1]}}, "evaluate.seeds: the seeds must be distinct"),
        ({**GOOD, "evaluate": {"channels": 3}}, "evaluate.channels: input should be a multiple"),
        (
            {**GOOD, "evaluate": {"learning_rate_decay": 0.9}},
            "evaluate: learning_rate_decay is for schedule: step",
        ),
        (
            {**GOOD, "evaluate": {"schedule": "step", "learning_rate_min": 0.1}},
            "evaluate: learning_rate_min is for schedule: cosine",
        ),
        (
            {**GOOD, "select": {"per_search": 4}},
            "select.per_search must be at most search.top_k, 3, the genotypes that a search finds",
        ),
        (
            {**GOOD, "select": {"survivors": 3}},
            "select.survivors must be at most 2, the genotypes that are handed on, got 3",
        ),
        (
            {"data": {"name": "d"}, "genotypes": ["DARTS_V3"], "evaluate": {}},
            "genotypes: unknown genotype 'DARTS_V3'; did you mean 'DARTS_V2'?",
        ),
        (
            {**GOOD, "genotypes": ["DARTS_V2"], "evaluate": {}},
            "genotypes are trained without a search",
        ),
        ({"data": {"name": "d"}, "genotypes": ["DARTS_V2"]}, "genotypes are given, but neither"),
        (
            {"data": {"name": "d"}, "genotypes": ["DARTS_V2"], "select": {"survivors": 2}},
            "select.survivors must be at most 1",
        ),
    ],
)
def test_bad_stages(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(values)
    (problem,) = caught.value.problems
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stage": "serach"}, "stage: input should be"),
        ({"stage": "select"}, "genotype: select takes one"),
        ({"genotype": "{}"}, "genotype: search takes none"),
        ({"stage": "select", "genotype": "{}", "select": None}, "stage: there are no settings for"),
    ],
)
def test_bad_runs(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_run({**WHOLE, "stage": "search", "seed": 0, **changes})
    assert any(problem.startswith(expected) for problem in caught.value.problems)
