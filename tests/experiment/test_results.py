from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments import (
    NAME_A,
    NAME_B,
    TEXT_SETTINGS,
    A,
    B,
    R,
    as_text,
    ended,
    evaluated,
    searched,
    selected,
    store,
)
from nni_darts._common.metric import ACCURACY, PERPLEXITY
from nni_darts.experiment import results
from nni_darts.experiment.architectures import short_name
from nni_darts.experiment.ledger import Ledger
from nni_darts.experiment.nni_database import StoredError

WHOLE = [
    searched(1, (-4.0, B)),
    searched(0, (-3.0, A)),
    selected(A, 0.6),
    selected(B, 0.5),
    evaluated(A, 0, 0.96),
    evaluated(A, 1, 0.98),
]


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return list(table[list(columns)].itertuples(index=False, name=None))


def test_a_row_per_run_by_stage(home: Path) -> None:
    table = results.table(store(home, "abc", WHOLE))
    assert tuple(table.columns) == results.columns(ACCURACY)
    assert rows(table, "stage", "seed", "genotype", "trial") == [
        ("search", 0, NAME_A, "trial1"),
        ("search", 1, NAME_B, "trial0"),
        # By name, whichever ended first: NAME_B is before NAME_A.
        ("select", 0, NAME_B, "trial3"),
        ("select", 0, NAME_A, "trial2"),
        ("evaluate", 0, NAME_A, "trial4"),
        ("evaluate", 1, NAME_A, "trial5"),
    ]
    assert list(table["test_acc"].dropna()) == [0.96, 0.98]
    assert list(table["architecture"][:2]) == [A, B]


def test_whole_numbers_stay_whole_in_the_file(home: Path) -> None:
    experiment = store(home, "abc", WHOLE)
    results.write(experiment)
    text = (experiment.folder / "results.csv").read_text()
    table = pd.read_csv(io.StringIO(text), dtype=str)
    assert table.loc[2, ["params", "multiply_adds", "best_epoch", "epochs"]].to_list() == [
        "4474",
        "79936",
        "1",
        "2",
    ]
    assert pd.isna(table.loc[0, "params"])


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        # Tried twice: the result counts, whenever it came.
        ([ended("FAILED", "search-0"), searched(0, (-3.0, A))], [("search-0", "SUCCEEDED")]),
        ([searched(0, (-3.0, A)), ended("FAILED", "search-0")], [("search-0", "SUCCEEDED")]),
        ([searched(0, (-3.0, A)), searched(0, (-3.0, A))], [("search-0", "SUCCEEDED")]),
        ([ended("FAILED", "search-0")], [("search-0", "FAILED")]),
        # It is being tried again.
        ([ended("FAILED", "search-0"), ended("RUNNING", "search-0")], []),
        # It ended as if all were right, and handed nothing in.
        ([ended("SUCCEEDED", "search-0")], [("search-0", "FAILED")]),
        ([ended("USER_CANCELED", "search-0")], [("search-0", "USER_CANCELED")]),
        # Which run it was is not known.
        ([ended("FAILED")], []),
        ([], []),
    ],
)
def test_what_became_of_a_run(
    trials: list[dict[str, Any]], expected: list[tuple[str, str]], home: Path
) -> None:
    table = results.table(store(home, "abc", trials))
    assert rows(table, "key", "status") == expected


def test_a_failed_training_has_the_name_of_its_genotype(home: Path) -> None:
    experiment = store(home, "abc", [ended("FAILED", f"select-{NAME_A}-0")])
    table = results.table(experiment)
    assert rows(table, "stage", "seed", "genotype") == [("select", 0, NAME_A)]
    text = results.readable(table, experiment.folder)
    assert text["weights"].to_list() == ["failed"]


def test_the_summary(home: Path) -> None:
    experiment = store(home, "abc", [*WHOLE, ended("FAILED", "evaluate-00000000-1")])
    lines = results.summary(experiment).splitlines()
    assert lines[:5] == [
        "experiment abc test",
        f"files in {experiment.folder}",
        "weights in /far/runs",
        "",
        "stage     seed  genotype  params  val_acc  test_acc  weights",
    ]
    assert f"search       0  {NAME_A}       -   50.00%         -  -" in lines
    assert (
        f"evaluate     1  {NAME_A}   4,474   80.00%    98.00%  evaluate-{NAME_A}-1/best.ckpt"
        in lines
    )
    assert "evaluate     1  00000000       -        -         -  failed" in lines
    assert f"({results.supernet(ACCURACY)})" in lines
    assert lines[-2:] == [
        f"{NAME_A}: test accuracy 97.00 +- 1.41% (2 trainings)",
        f"selected {NAME_A}: {A}",
    ]
    assert not any(line.endswith(" ") for line in lines)


def test_the_summary_before_anything_has_ended(home: Path) -> None:
    experiment = store(home, "abc", [ended("RUNNING", "search-0")])
    assert results.summary(experiment).splitlines() == [
        "experiment abc test",
        f"files in {experiment.folder}",
    ]


def test_nothing_is_selected_while_a_training_is_tried_again(home: Path) -> None:
    trials = [
        *WHOLE[:3],
        ended("FAILED", f"select-{NAME_B}-0"),
        ended("RUNNING", f"select-{NAME_B}-0"),
    ]
    assert f"selected {NAME_A}" not in results.summary(store(home, "abc", trials))
    twice = [*WHOLE[:3], *[ended("FAILED", f"select-{NAME_B}-0")] * 2]
    assert f"selected {NAME_A}" in results.summary(store(home, "xyz", twice))


def test_a_run_that_failed_before_it_said_which_it_was(home: Path) -> None:
    experiment = store(home, "abc", [*WHOLE[:3], ended("FAILED"), ended("FAILED")])
    state = experiment.folder / "checkpoint" / "nni_darts.json"
    assert f"selected {NAME_A}" not in results.summary(experiment)
    # The tuner knows what it has issued.
    keys = ["search-0", "search-1", f"select-{NAME_A}-0", *[f"select-{NAME_B}-0"] * 2]
    state.parent.mkdir()
    state.write_text(Ledger(issued=Counter(keys)).to_json())
    assert results.ledger(experiment).failures == Counter({f"select-{NAME_B}-0": 2})
    assert f"selected {NAME_A}" in results.summary(experiment)
    # That of another version is done without.
    state.write_text(json.dumps({"silent": {}}))
    assert results.ledger(experiment).failures == Counter()


def test_weights_in_one_place_or_in_several() -> None:
    def folder(*weights: str | None) -> str:
        return str(results.weights_folder(pd.DataFrame({"weights": weights}), Path("/e")))

    assert folder() == folder(None) == "/e"
    assert folder("/e/env/runs/a/best.ckpt") == "/e/env/runs"
    assert folder("/e/env1/runs/a/best.ckpt", None, "/e/env2/runs/b/best.ckpt") == "/e"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"class_name": "TPE"}, "is not one of nni-darts: its tuner must be nni_darts.tuner"),
        ({"settings": {"data": {}}}, "was started with wrong settings: data.name: field required"),
        ({"tuner": None}, "has no settings yet"),
    ],
)
def test_no_settings(changes: dict[str, Any], expected: str, home: Path, message: Any) -> None:
    experiment = store(home, "abc", [], **changes)
    assert expected in message(StoredError, results.settings, experiment)


def test_perplexities(home: Path) -> None:
    trials = [searched(0, (-3.0, R)), selected(R, 90.0), evaluated(R, 0, 70.25)]
    trials += [evaluated(R, 1, 71.75)]
    experiment = store(home, "abc", [as_text(t) for t in trials], settings=TEXT_SETTINGS)
    table = results.table(experiment)
    assert tuple(table.columns) == results.columns(PERPLEXITY)
    assert list(table["test_ppl"].dropna()) == [70.25, 71.75]
    lines = results.summary(experiment).splitlines()
    assert "(val_ppl of a search is its supernet's, which does not rank cells)" in lines
    assert f"{short_name(R)}: test perplexity 71.00 +- 1.06 (2 trainings)" in lines
    assert any("70.25" in line and "%" not in line for line in lines)
