from __future__ import annotations

import random
import string
from typing import Any

import pytest

from nni_darts._common import limits
from nni_darts.genotypes import published
from nni_darts.runs.run_key import RunKey, key
from nni_darts.tasks.registry import parse_run
from nni_darts.tasks.stage import TRAININGS, Stage

DIGEST = published.get("DARTS_V2").digest


def test_the_texts() -> None:
    assert str(RunKey(Stage.SEARCH, 0)) == "search-0"
    assert str(RunKey(Stage.EVALUATE, 3, "c7076324")) == "evaluate-c7076324-3"
    assert RunKey.parse("select-c7076324-0") == RunKey(Stage.SELECT, 0, "c7076324")


def some_keys(count: int) -> list[RunKey]:
    rng = random.Random(0)
    seeds = [0, 1, limits.SEED, *(rng.randrange(10 ** rng.randint(1, 9)) for _ in range(count))]
    made = []
    for seed in seeds:
        stage = rng.choice(list(Stage))
        named = stage is not Stage.SEARCH and rng.random() < 0.9
        digest = f"{rng.randrange(16**8):08x}" if named else None
        made.append(RunKey(stage, seed, digest))
    return made


def test_a_text_says_which_key_it_is_of() -> None:
    keys = some_keys(500)
    assert {k.stage for k in keys} == set(Stage)
    for made in keys:
        assert RunKey.parse(str(made)) == made
    # One text for each, so that it may stand for the key.
    assert len(set(map(str, keys))) == len(set(keys))


def test_a_damaged_text_is_refused_or_is_of_another_key(message: Any) -> None:
    rng = random.Random(1)
    alphabet = string.ascii_letters + string.digits + "-_/.\n\0 ä\u0663"
    refused = 0
    for made in some_keys(500):
        text = list(str(made))
        at = rng.randrange(len(text))
        rng.choice(
            [
                lambda t, i: t.__setitem__(i, rng.choice(alphabet)),
                lambda t, i: t.insert(i, rng.choice(alphabet)),
                lambda t, i: t.pop(i),
            ]
        )(text, at)
        damaged = "".join(text)
        try:
            other = RunKey.parse(damaged)
        except ValueError:
            assert "the key of a run must be" in message(ValueError, RunKey.parse, damaged)
            refused += 1
        else:
            # Nothing else is taken for it: as a folder, say.
            assert str(other) == damaged
    assert refused > 250


@pytest.mark.parametrize(
    "text",
    [
        *("", "search", "search-", "search-x", "search--1", "search-00", "search-01", "-0", "0"),
        *("../search-0", "search-0/..", "search-0\n", " search-0", "search-../../x", "Search-0"),
        *("search-\u0663", f"search-{limits.SEED + 1}", "search-" + "9" * 5000),
        *(f"search-{DIGEST}-0", "train-0", "retrain DARTS_V2"),
        *("select-a.b-0", "select-ä-0", "select-c7076324-", "select-c7076324-0-0"),
        *(None, 0, b"search-0", ["search-0"], Stage.SEARCH),
    ],
)
def test_what_is_no_key(text: Any, message: Any) -> None:
    assert "the key of a run must be" in message(ValueError, RunKey.parse, text)


@pytest.mark.parametrize(
    ("stage", "seed", "genotype"),
    [
        (Stage.SEARCH, 0, DIGEST),
        (Stage.EVALUATE, 0, ""),
        (Stage.EVALUATE, 0, "../.."),
        (Stage.SEARCH, -1, None),
        (Stage.SEARCH, limits.SEED + 1, None),
    ],
)
def test_keys_that_no_run_has(stage: Stage, seed: int, genotype: str | None, message: Any) -> None:
    assert "the key of a run must be" in message(ValueError, RunKey, stage, seed, genotype)


def test_the_key_of_a_run() -> None:
    parts: dict[str, Any] = {"data": {"name": "digits"}, "seed": 7}
    search = parse_run({**parts, "space": {"name": "DartsCNN"}, "stage": "search"})
    assert RunKey.of(search) == RunKey(Stage.SEARCH, 7)
    text = published.get("DARTS_V2").to_json()
    for stage in TRAININGS:
        values = {**parts, "genotypes": ["DARTS_V2"], "genotype": text, "stage": stage.value}
        run = parse_run({**values, stage.value: {}})
        assert RunKey.parse(key(run)) == RunKey.of(run) == RunKey(stage, 7, DIGEST)
