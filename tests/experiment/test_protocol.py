from __future__ import annotations

import json
from typing import Any

import pytest

from nni_darts.experiment import protocol
from nni_darts.genotypes import genotype_json
from nni_darts.genotypes.published import get
from nni_darts.genotypes.random_cells import draw, draw_recurrent
from nni_darts.runs import run_key
from nni_darts.tasks.registry import parse, parse_run, run_of
from nni_darts.tasks.settings import Settings

A, B, C, D = (genotype.to_json() for genotype in draw(4, 0))
BOTH: dict[str, Any] = {
    "select": {"epochs": 2},
    "evaluate": {"epochs": 3, "seeds": [0, 1]},
}


def settings(seeds: tuple[int, ...] = (0, 1), **parts: Any) -> Settings:
    search = {"seeds": seeds, **parts.pop("search", {})}
    return parse({"space": {"name": "S"}, "data": {"name": "d"}, "search": search, **parts})


class Experiment:
    """Plays the protocol: `finish` gives results, by what `outcome` says of a run."""

    def __init__(self, made: Settings) -> None:
        self.settings = made
        self.results: dict[str, Any] = {}
        self.failures: dict[str, int] = {}
        self.held: dict[str, str] = {}
        self.done: list[str] = []

    @property
    def plan(self) -> protocol.Plan:
        return protocol.make_plan(self.settings, self.results, self.failures, self.held)

    @property
    def ready(self) -> list[str]:
        return [run_key.key(run) for run in self.plan.ready]

    def search(self, seed: int, *genotypes: str) -> None:
        texts = {f"genotype_{i}": text for i, text in enumerate(genotypes, 1)}
        self.results[f"search-{seed}"] = {"default": 0.1, **texts}

    def train(self, key: str, accuracy: float) -> None:
        assert key in self.ready
        self.results[key] = {"default": accuracy}

    def fail(self, key: str) -> None:
        assert key in self.ready
        self.failures[key] = self.failures.get(key, 0) + 1


def select(text: str, seed: int = 0) -> str:
    return f"select-{genotype_json.digest(text)}-{seed}"


def evaluate(text: str, seed: int) -> str:
    return f"evaluate-{genotype_json.digest(text)}-{seed}"


def test_the_whole_way() -> None:
    e = Experiment(settings(**BOTH))
    assert protocol.planned(e.settings) == 2 + 2 + 2
    assert e.ready == ["search-0", "search-1"]
    assert e.plan.later == 4
    e.search(1, B, C)
    assert e.ready == ["search-0"]
    e.search(0, A, C)
    assert e.ready == [select(A), select(B)]
    assert e.plan.later == 2
    assert protocol.winner(e.settings, e.results, e.failures) is None
    e.train(select(A), 0.7)
    assert e.ready == [select(B)]
    assert protocol.winner(e.settings, e.results, e.failures) is None
    e.train(select(B), 0.8)
    assert e.ready == [evaluate(B, 0), evaluate(B, 1)]
    assert protocol.winner(e.settings, e.results, e.failures) == B
    e.train(evaluate(B, 1), 0.1)
    e.train(evaluate(B, 0), 0.2)
    assert e.plan.over
    assert e.plan.problem is None
    assert e.plan.notes == ()
    assert protocol.winner(e.settings, e.results, e.failures) == B
    assert len(e.plan.runs) == 6


@pytest.mark.parametrize(
    ("parts", "planned"),
    [
        ({}, 2),
        ({"select": {}}, 4),
        ({"evaluate": {}}, 4),
        ({"evaluate": {"seeds": [0, 1, 2]}}, 2 + 6),
        ({"select": {"per_search": 3, "survivors": 2}, "evaluate": {}}, 2 + 6 + 2),
    ],
)
def test_how_many_runs_there_will_be(parts: dict[str, Any], planned: int) -> None:
    assert protocol.planned(settings(**parts)) == planned


def test_several_are_handed_on_and_survive() -> None:
    e = Experiment(settings(select={"per_search": 2, "survivors": 2}, evaluate={}))
    e.search(0, A, B, C)
    e.search(1, C, D, A)
    assert e.ready == [select(text) for text in (A, B, C, D)]
    for text, accuracy in ((A, 0.1), (B, 0.9), (C, 0.8), (D, 0.9)):
        e.train(select(text), accuracy)
    # Equal ones keep their order.
    assert e.ready == [evaluate(B, 0), evaluate(D, 0)]


def test_the_winner_is_the_best_on_validation_that_could_be_evaluated() -> None:
    e = Experiment(settings(select={"survivors": 2}, evaluate={}))
    e.search(0, A)
    e.search(1, B)
    e.train(select(A), 0.9)
    e.train(select(B), 0.8)
    # Whatever the test says.
    e.train(evaluate(B, 0), 1.0)
    assert protocol.winner(e.settings, e.results, e.failures) == A
    for _ in range(2):
        e.fail(evaluate(A, 0))
    assert protocol.winner(e.settings, e.results, e.failures) == B


def test_without_a_selection_there_is_a_winner_only_if_there_is_no_choice() -> None:
    e = Experiment(settings((0,), evaluate={}))
    e.search(0, A)
    assert protocol.winner(e.settings, e.results, e.failures) == A
    e = Experiment(settings(evaluate={}))
    e.search(0, A)
    e.search(1, B)
    assert protocol.winner(e.settings, e.results, e.failures) is None
    e = Experiment(settings(select={}))
    e.search(0, A)
    e.search(1, B)
    e.train(select(A), 0.1)
    e.train(select(B), 0.2)
    assert protocol.winner(e.settings, e.results, e.failures) == B


def test_a_genotype_found_twice_is_trained_once() -> None:
    e = Experiment(settings(**BOTH))
    swapped = json.loads(A)
    swapped["normal"][0:2] = swapped["normal"][1::-1]
    e.search(0, A)
    e.search(1, json.dumps(swapped))
    assert e.ready == [select(A)]
    assert e.plan.later == 2
    (note,) = e.plan.notes
    assert note == (
        f"search-1 found {genotype_json.digest(A)} too, as search-0 did: it is trained once"
    )


def test_a_failed_search_is_tried_once_more_then_left_out() -> None:
    e = Experiment(settings(**BOTH))
    e.fail("search-0")
    assert e.ready == ["search-0", "search-1"]
    assert e.plan.notes == ("search-0 failed and is tried again, from its checkpoint",)
    e.search(1, B)
    assert e.ready == ["search-0"]
    assert e.plan.later == 4
    e.fail("search-0")
    assert e.ready == [select(B)]
    assert "search-0 failed 2 times, or was stopped early: left out" in e.plan.notes
    assert e.plan.later == 2


def test_a_search_that_succeeds_at_last_counts() -> None:
    e = Experiment(settings(**BOTH))
    e.fail("search-0")
    e.search(0, A)
    e.search(1, B)
    assert e.ready == [select(A), select(B)]
    assert e.plan.notes == ()


def test_trainings_that_fail_are_left_out_too() -> None:
    e = Experiment(settings(**BOTH))
    e.search(0, A)
    e.search(1, B)
    for _ in range(2):
        e.fail(select(A))
    e.train(select(B), 0.1)
    assert e.ready == [evaluate(B, 0), evaluate(B, 1)]
    for _ in range(2):
        e.fail(evaluate(B, 0))
    e.train(evaluate(B, 1), 0.5)
    assert e.plan.over
    assert e.plan.problem is None


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        ("search", "no search has a result"),
        ("select", "no genotype could be trained: there is none to select"),
        ("evaluate", "no genotype could be trained in full"),
    ],
)
def test_it_ends_loudly_when_nothing_usable_is_left(stage: str, problem: str) -> None:
    e = Experiment(settings(**BOTH))
    while not e.plan.problem:
        run = e.plan.ready[0]
        if run.stage == stage:
            e.fail(run_key.key(run))
        elif run.stage == "search":
            e.search(run.seed, (A, B)[run.seed])
        else:
            e.train(run_key.key(run), 0.5)
    assert str(e.plan.problem).startswith(problem)
    assert e.plan.ready == ()


def test_too_few_survivors_are_said() -> None:
    e = Experiment(settings(select={"survivors": 2}, evaluate={}))
    e.search(0, A)
    e.search(1, A)
    e.train(select(A), 0.5)
    assert e.ready == [evaluate(A, 0)]
    assert "only 1 genotypes are left of the 2 to be selected" in e.plan.notes


def test_given_genotypes_need_no_search() -> None:
    given = parse(
        {
            "data": {"name": "d"},
            "genotypes": ["DARTS_V2", get("PDARTS").to_authors(), "DARTS_V2"],
            "evaluate": {"seeds": [5]},
        }
    )
    e = Experiment(given)
    v2, pdarts = get("DARTS_V2").to_json(), get("PDARTS").to_json()
    assert e.ready == [evaluate(v2, 5), evaluate(pdarts, 5)]
    assert protocol.planned(given) == 2
    selected = parse(
        {"data": {"name": "d"}, "genotypes": ["DARTS_V2", "PDARTS"], "select": {}, "evaluate": {}}
    )
    assert protocol.planned(selected) == 3


def test_a_search_alone_is_over_after_its_searches() -> None:
    e = Experiment(settings())
    e.search(0, A)
    e.search(1, '{"layer": 1}')  # a space of another kind: nothing is made of its samples
    assert e.plan.over
    assert protocol.winner(e.settings, e.results, e.failures) is None


def test_runs_survive_the_way_to_the_trial() -> None:
    e = Experiment(settings(**BOTH))
    e.search(0, A)
    e.search(1, B)
    for run in (*e.plan.runs, *e.plan.ready):
        assert parse_run(run.model_dump(mode="json", exclude_defaults=True)) == run
        assert parse_run(json.loads(run.model_dump_json())) == run


def test_the_best_perplexity_is_the_lowest() -> None:
    made = parse(
        {
            "space": {"name": "DartsRNN"},
            "data": {"name": "ptb"},
            "search": {"seeds": [0, 1]},
            "select": {"epochs": 2},
            "evaluate": {"epochs": 3},
        }
    )
    first, second = (genotype.to_json() for genotype in draw_recurrent(2, 0))
    e = Experiment(made)
    e.search(0, first)
    e.search(1, second)
    e.train(select(first), 120.0)
    e.train(select(second), 95.0)
    assert protocol.winner(e.settings, e.results, e.failures) == second
    assert e.ready == [evaluate(second, 0)]


def test_keys_are_distinct_and_name_folders() -> None:
    made = settings(**BOTH)
    runs = [
        run_of(made, "search", 0),
        run_of(made, "search", 1),
        run_of(made, "select", 0, A),
        run_of(made, "select", 0, B),
        run_of(made, "evaluate", 0, A),
    ]
    keys = [run_key.key(run) for run in runs]
    assert len(set(keys)) == 5
    assert all(key.replace("-", "").isalnum() for key in keys)


def test_a_run_that_was_interrupted_is_waited_for() -> None:
    e = Experiment(settings(**BOTH))
    e.held = {"search-0": "the disk is full"}
    assert e.ready == ["search-1"]
    assert e.plan.problem is None
    assert any("search-0 was interrupted (the disk is full)" in note for note in e.plan.notes)
    e.search(1, B)
    # Nothing else can run, and the other stages need all searches.
    assert e.ready == []
    assert e.plan.problem == (
        "search-0 cannot go on (the disk is full): put that right, then nnictl stop and nnictl "
        "resume this experiment"
    )
    e.held = {}
    assert e.ready == ["search-0"]
    e.search(0, A)
    e.held = {evaluate(A, 1): "no room", select(B): "no room"}
    assert e.ready == [select(A)]
