"""A search whose selection decides after its epochs, as a trial runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.runs import rehearsal
from nni_darts.runs.stages import search
from nni_darts.tasks.registry import parse_run

SPACE = {
    "name": "DartsCNN",
    "channels": 4,
    "num_cells": 3,
    "num_nodes": 2,
    "primitives": ["none", "skip_connect", "max_pool_3x3"],
}


def run(selection: Any, **settings: Any) -> Any:
    parts = {"hypergradient": "first_order", "arc_learning_rate": 0.1, "selection": selection}
    data = {"name": "digits"}
    both = {"seeds": [0], "epochs": 1, "batch_size": 256, "top_k": 2, **parts, **settings}
    return parse_run({"stage": "search", "seed": 3, "space": SPACE, "data": data, "search": both})


PT = {"name": "perturbation", "epochs_between": 1}


class Stopped(Exception):
    pass


def test_decisions_are_reported_and_gone_on_with(tmp_path: Path) -> None:
    reports: list[dict[str, Any]] = []
    whole = search(run(PT), tmp_path / "whole", reports.append)
    assert [r["epoch"] for r in reports] == list(range(7))
    decided = json.loads((tmp_path / "whole" / "selection.json").read_text())
    assert decided["seed"] == 3
    assert len(decided["decisions"]) == 12

    def stop(report: dict[str, Any]) -> None:
        if report["epoch"] == 4:
            raise Stopped

    with pytest.raises(Stopped):
        search(run(PT), tmp_path / "stopped", stop)
    again = search(run(PT), tmp_path / "stopped", lambda report: None)
    for name, value in whole.items():
        if name not in ("seconds", "output"):
            assert again[name] == value, name
    folders = [tmp_path / name for name in ("whole", "stopped")]
    one, other = [(folder / "selection.json").read_text() for folder in folders]
    assert one == other
    tables = [pd.read_csv(f / "history.csv").drop(columns="seconds") for f in folders]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    genotypes = json.loads((folders[0] / "genotypes.json").read_text())
    assert [json.dumps(g["genotype"]) for g in genotypes] == [whole["genotype_1"]]
    assert "genotype_2" not in whole


def test_drawn_subnets_are_handed_on(tmp_path: Path) -> None:
    subnets = {"name": "subnets", "count": 4, "batches": 1}
    first = search(run(subnets), tmp_path, lambda report: None)
    decided = json.loads((tmp_path / "selection.json").read_text())
    assert len(decided["subnets"]) == 4
    scores = [each["score"] for each in decided["subnets"]]
    assert [first["score_1"], first["score_2"]] == scores[:2] == sorted(scores)[:1:-1]
    genotypes = json.loads((tmp_path / "genotypes.json").read_text())
    assert [g["score"] for g in genotypes] == scores[:2]
    again = search(run(subnets), tmp_path, lambda report: None)
    del first["seconds"], again["seconds"]
    assert again == first


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({**PT, "epochs_between": 0}, "epochs_between must be at least 1, got 0"),
        ({**PT, "epochs": 1}, "search.selection: unknown option of selection perturbation"),
        ("perturbations", "did you mean 'perturbation'"),
    ],
)
def test_mistakes_are_found_before_training(selection: Any, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        search(run(selection), tmp_path, lambda report: None)
    assert len(error.value.problems) == 1
    assert expected in error.value.problems[0]


def test_a_rehearsal_finds_what_the_selection_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rehearsal.search(run(PT)) is None
    from nni_darts.tasks.images.search_module import SearchRecipe

    monkeypatch.setattr(SearchRecipe, "validation_step", lambda self, batch, i: None)
    with pytest.raises(SettingsError, match="logs no val_acc but nothing"):
        rehearsal.search(run(PT))
