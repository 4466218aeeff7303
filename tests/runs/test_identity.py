from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_runs import RUN, relaxed

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.random_cells import draw
from nni_darts.runs.identity import of_run, of_training
from nni_darts.tasks.registry import parse_run


def test_a_relaxation_is_of_the_identity_of_a_run_if_it_is_not_the_published_one() -> None:
    plain = of_run(parse_run(RUN)).digest
    assert of_run(relaxed("softmax")).digest == plain
    assert of_run(relaxed("test_build.Uniform")).digest != plain
    # As it was when there was nothing but softmax.
    assert plain == "e631e282308dba5a"
    of_run(parse_run(RUN)).require(of_run(relaxed("softmax")).what, Path("x"))
    for one, other in (("softmax", "test_build.Uniform"), ("test_build.Uniform", "softmax")):
        with pytest.raises(SettingsError, match=r"another run \(relaxation is"):
            of_run(relaxed(one)).require(of_run(relaxed(other)).what, Path("x"))


TRAINED: dict[str, Any] = {
    **{"stage": "select", "seed": 3, "genotype": draw(1, 0)[0].to_json()},
    **{"space": {"name": "DartsCNN"}, "data": {"name": "digits"}},
    "select": {"epochs": 2, "batch_size": 8},
}


@pytest.mark.parametrize("run", [RUN, TRAINED], ids=["search", "training"])
def test_what_decides_the_outcome_is_of_the_identity_and_nothing_else(run: dict[str, Any]) -> None:
    stage = run["stage"]
    own = of_run(parse_run(run))
    assert own.key.startswith(f"{stage}-")

    def changed(**settings: Any) -> str:
        return of_run(parse_run({**run, stage: {**run[stage], **settings}})).digest

    assert changed(cpu_threads=1) == own.digest
    assert changed(epochs=9) != own.digest
    assert of_run(parse_run({**run, "seed": 7})).digest != own.digest
    assert of_run(parse_run({**run, "data": {"name": "digits", "seed": 5}})).digest != own.digest


def test_the_seeds_of_the_other_searches_decide_nothing() -> None:
    others = {**RUN, "search": {**RUN["search"], "seeds": [0, 1]}}
    assert of_run(parse_run(others)).digest == of_run(parse_run(RUN)).digest
    space = {"space": {**RUN["space"], "depth": 3}}
    assert of_run(parse_run({**RUN, **space})).digest != of_run(parse_run(RUN)).digest


def test_a_training_is_known_however_its_genotype_is_written() -> None:
    run = parse_run(TRAINED)
    spaced = parse_run({**TRAINED, "genotype": TRAINED["genotype"].replace(", ", ",  ")})
    assert of_run(spaced) == of_run(run)
    other = draw(2, 0)[1]
    training = of_training("select", other, run.training, run.data, run.seed)
    assert training.key == "select"
    assert training.digest != of_run(run).digest


def test_a_search_of_nothing(message: Callable[..., str]) -> None:
    run = parse_run(RUN).model_copy(update={"space": None})
    assert message(SettingsError, of_run, run) == "search: there is no space to search"
