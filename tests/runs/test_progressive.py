"""A progressive search as one run: its stages, how it goes on in each of them, its mistakes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.pruning import likeliest
from nni_darts.history.csv_file import History
from nni_darts.runs.identity import of_run
from nni_darts.runs.progressive import STAGES
from nni_darts.runs.stages import search
from nni_darts.tasks.registry import parse, parse_run
from nni_darts.tasks.settings import Run
from nni_darts.training.run_folder import RunFolder

METHOD: dict[str, Any] = {
    "name": "pdarts",
    "cells": [3, 4],
    "keep": [8, 3],
    "epochs": 2,
    "warmup": 1,
    "skip_dropout": [0, 0.5],
    "max_skips": 0,
}
TINY: dict[str, Any] = {
    "space": {"name": "DartsCNN", "channels": 4, "num_nodes": 2},
    "data": {"name": "digits"},
    "search": {
        "seeds": [0],
        "batch_size": 400,
        "hypergradient": "first_order",
        "arc_learning_rate": 0.1,
        "top_k": 2,
        "progressive": METHOD,
    },
}


def run_of(**search: Any) -> Run:
    settings = {**TINY, "search": {**TINY["search"], **search}}
    return parse_run({**settings, "stage": "search", "seed": 0})


def ignored(_: Any) -> None:
    """Take a report."""


class Stopped(Exception):
    """End of a run, as if it had been killed."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[Any]]:
    """A run that nobody stopped: its folder, its result and its reports."""
    folder = tmp_path_factory.mktemp("whole")
    reports: list[Any] = []
    return folder, search(run_of(), folder, reports.append), reports


def test_epochs_are_numbered_through_and_tell_their_stage(whole: Any) -> None:
    _, result, reports = whole
    assert [report["epoch"] for report in reports] == [0, 1, 2, 3]
    assert [report["stage"] for report in reports] == [1, 1, 2, 2]
    assert result["epochs"] == 4
    assert result["default"] == reports[-1]["default"]
    # Alpha rests in the first epoch of each stage.
    assert ["architect_loss" in report for report in reports] == [False, True, False, True]


def test_a_stage_searches_what_the_one_before_has_left(whole: Any) -> None:
    folder, *_ = whole
    records = History(RunFolder.at(folder)).records()
    left = likeliest(records[1].weights, 3)
    for record in records[:2]:
        assert {len(row) for row in record.weights.values()} == {8}
    for record in records[2:]:
        assert {place: tuple(row) for place, row in record.weights.items()} == left
    (stored,) = json.loads((folder / STAGES).read_text())["stages"]
    assert list(map(tuple, stored.values())) == list(left.values())


def test_its_genotypes_are_the_last_stages_with_few_skip_connections(whole: Any) -> None:
    folder, result, _ = whole
    left = History(RunFolder.at(folder)).records()[-1].cells
    for number in (1, 2):
        genotype = Genotype.parse(result[f"genotype_{number}"])
        for kind in ("normal", "reduce"):
            for node, edges in enumerate(genotype[kind].nodes, 2):
                for edge in edges:
                    assert edge.operation in left[kind][node, edge.source]
                    assert kind == "reduce" or edge.operation != "skip_connect"
    told = json.loads((folder / "genotypes.json").read_text())
    assert [each["epoch"] for each in told] == [3, 3]
    assert told[0]["genotype"] == json.loads(result["genotype_1"])


def the_same(folder: Path, result: dict[str, Any], whole: Any) -> None:
    """Assert that a run ended as the one that nobody stopped."""
    other, expected, _ = whole
    for name, value in expected.items():
        if name not in ("seconds", "output"):
            assert result[name] == value, name
    tables = [pd.read_csv(f / "history.csv").drop(columns="seconds") for f in (folder, other)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_stopped_in_any_epoch_it_goes_on_bit_for_bit(
    epoch: int, tmp_path: Path, whole: Any
) -> None:
    def until(report: dict[str, Any]) -> None:
        # Before the checkpoint of the epoch is written.
        if report["epoch"] == epoch:
            raise Stopped

    with pytest.raises(Stopped):
        search(run_of(), tmp_path, until)
    torch.manual_seed(1)
    again: list[int] = []
    result = search(run_of(), tmp_path, lambda report: again.append(report["epoch"]))
    assert again == [each for each in range(4) if each >= epoch]
    the_same(tmp_path, result, whole)


SCRIPT = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import torch
torch.set_num_threads(1)
from pathlib import Path
from nni_darts.tasks.registry import parse_run
from nni_darts.runs.stages import search
search(parse_run(json.loads(sys.argv[1])), Path(sys.argv[2]), lambda report: None)
"""


@pytest.mark.slow
def test_killed_in_its_second_stage_it_goes_on_bit_for_bit(tmp_path: Path, whole: Any) -> None:
    values = run_of().model_dump_json()
    command = [sys.executable, "-c", SCRIPT, values, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 600
    while not (tmp_path / "stage_2" / "last.ckpt").exists():
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(pd.read_csv(tmp_path / "history.csv")) in (3, 4)
    the_same(tmp_path, search(run_of(), tmp_path, ignored), whole)


def test_stopped_before_a_stage_was_stored_it_is_not_searched_again(
    tmp_path: Path, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RunFolder.replace

    def replace(self: RunFolder, name: str, text: str) -> None:
        if name == STAGES:
            raise Stopped
        plain(self, name, text)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "replace", replace)
        with pytest.raises(Stopped):
            search(run_of(), tmp_path, ignored)
    again: list[int] = []
    result = search(run_of(), tmp_path, lambda report: again.append(report["epoch"]))
    assert again == [2, 3]
    the_same(tmp_path, result, whole)


@pytest.mark.parametrize("damage", ["{", '{"stages": [{"normal_2_0": 3}]}', "[]"])
def test_over_it_gives_its_result_again_even_without_what_its_stages_left(
    damage: str, tmp_path: Path, whole: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    the_same(folder, search(run_of(), folder, pytest.fail), whole)
    (folder / STAGES).write_text(damage)
    the_same(folder, search(run_of(), folder, pytest.fail), whole)
    assert "it is put aside as stages.json.damaged" in capsys.readouterr().out


def test_the_folder_of_another_run_is_left_alone(tmp_path: Path, whole: Any) -> None:
    other = run_of(progressive={**METHOD, "max_skips": 1})
    with pytest.raises(SettingsError, match=r"stages\.json is of another run"):
        search(other, whole[0], ignored)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"progressive": {**METHOD, "keep": [8, 2]}}, "search.progressive: keep must end with 3"),
        ({"progressive": {**METHOD, "keep": [7, 3]}}, "search.progressive: keep must begin with"),
        ({"progressive": {**METHOD, "keep": [8, 5, 3]}}, "search.progressive: progressive pdarts:"),
        ({"progressive": {**METHOD, "keeps": [8, 3]}}, "did you mean 'keep'?"),
        ({"progressive": {**METHOD, "warmup": 2}}, "warmup must be below epochs, 2, so that"),
        ({"epochs": 5}, "search.epochs must be 4, those of all stages of search.progressive, got"),
    ],
)
def test_mistakes_are_found_before_training(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        search(run_of(**changes), tmp_path, pytest.fail)
    (problem,) = caught.value.problems
    assert expected in problem
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("space", "data", "expected"),
    [
        ({"name": "DartsCNN", "num_cells": 8}, "digits", "space.num_cells: the stages of search."),
        ({"name": "spaces.Plain"}, "digits", "spaces.Plain takes no num_cells"),
        ({"name": "DartsRNN"}, "wikitext2", "DartsRNN takes no num_cells"),
    ],
)
def test_spaces_that_have_no_such_stages(
    space: dict[str, Any], data: str, expected: str, tmp_path: Path
) -> None:
    values = {**TINY, "space": space, "data": {"name": data}, "stage": "search", "seed": 0}
    if data != "digits":
        values["search"] = {"progressive": METHOD}
    with pytest.raises(SettingsError) as caught:
        search(parse_run(values), tmp_path, pytest.fail)
    (problem,) = caught.value.problems
    assert expected in problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"warmup_epochs": 1}, "search: warmup_epochs: the stages of progressive set it; leave it"),
        ({"selection": "skip_limit"}, "search: selection: the stages of progressive set it"),
        ({"progressive": "pdart"}, "search.progressive: input should be"),
    ],
)
def test_settings_that_contradict_the_stages(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse({**TINY, "search": {**TINY["search"], **changes}})
    assert any(problem.startswith(expected) for problem in caught.value.problems)


def test_the_epochs_of_the_search_are_those_of_all_stages() -> None:
    settings = parse({**TINY, "search": {"progressive": "pdarts"}})
    assert settings.search is not None
    assert settings.search.epochs == 75


def test_without_stages_a_run_is_the_one_that_it_was() -> None:
    plain = parse_run({**TINY, "search": {}, "stage": "search", "seed": 0})
    assert "progressive" not in json.loads(of_run(plain).what)["settings"]
    assert "progressive" in json.loads(of_run(run_of()).what)["settings"]
