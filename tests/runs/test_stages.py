from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.random_cells import draw
from nni_darts.history.cells import derived
from nni_darts.history.csv_file import read
from nni_darts.runs.run_key import key
from nni_darts.runs.stages import STAGES, search
from nni_darts.search.strategy import UnrolledDARTS
from nni_darts.tasks.images.sources import Digits
from nni_darts.tasks.registry import parse_run
from nni_darts.training.finite_losses import DivergedError

TINY: dict[str, Any] = {
    "stage": "search",
    "seed": 0,
    "space": {"name": "DartsCNN", "channels": 4, "num_cells": 3, "num_nodes": 2},
    "data": {"name": "digits"},
    "search": {"seeds": [0], "epochs": 3, "batch_size": 128, "arc_learning_rate": 0.1, "top_k": 2},
}

WEIGHED: dict[str, Any] = {
    **TINY,
    "space": {**TINY["space"], "partial_channels": 2, "edge_weights": True},
    "search": {**TINY["search"], "warmup_epochs": 1},
}

SCRIPT = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import torch
torch.set_num_threads(1)
from pathlib import Path
from nni_darts.tasks.registry import parse_run
from nni_darts.runs.stages import search
result = search(parse_run(json.loads(sys.argv[1])), Path(sys.argv[2]), lambda report: None)
print(json.dumps(result))
"""


def command(run: dict[str, Any], folder: Path) -> list[str]:
    return [sys.executable, "-c", SCRIPT, json.dumps(run), str(folder)]


def finish(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    done = subprocess.run(command(run, folder), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("run", [TINY, WEIGHED], ids=["plain", "edge weights"])
def test_a_search_killed_after_an_epoch_ends_as_one_never_killed(
    tmp_path: Path, run: dict[str, Any]
) -> None:
    whole = finish(run, tmp_path / "whole")

    folder = tmp_path / "killed"
    first = subprocess.Popen(command(run, folder), stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 300
    while not (folder / "last.ckpt").exists():
        assert time.monotonic() < limit
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert len(pd.read_csv(folder / "history.csv")) < 3
    resumed = finish(run, folder)

    for name, value in whole.items():
        if name not in ("seconds", "output"):
            assert resumed[name] == value, name
    tables = [pd.read_csv(tmp_path / f / "history.csv") for f in ("whole", "killed")]
    pd.testing.assert_frame_equal(*(t.drop(columns="seconds") for t in tables), check_exact=True)


def test_a_search_with_edge_weights(tmp_path: Path) -> None:
    reports: list[dict[str, Any]] = []
    result = search(parse_run(WEIGHED), tmp_path, reports.append)
    edges = [f"{kind}{node}<{source}" for kind in "nr" for node in (2, 3) for source in range(node)]
    for report in reports:
        for kind in "nr":
            for node in (2, 3):
                total = sum(report[f"{kind}{node}<{source}"] for source in range(node))
                assert total == pytest.approx(1)
    first, second, last = ([report[edge] for edge in edges] for report in reports)
    # Betas rest while alphas do, and are learnt with them.
    assert first == pytest.approx([1 / 2] * 2 + [1 / 3] * 3 + [1 / 2] * 2 + [1 / 3] * 3, abs=2e-3)
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 0.01
    assert second != last
    assert reports[0]["entropy"] == pytest.approx(math.log(8), abs=1e-3)
    # What the page and the pictures make of the reports is what the search gives.
    for record in read(tmp_path / "history.csv")[-1:]:
        assert json.loads(result["genotype_1"]) == json.loads(derived(record).to_json())
        assert len(record.edge_weights) == 10


def test_faster_or_smaller_it_is_the_same_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    plain = UnrolledDARTS.__init__

    def init(self: UnrolledDARTS, **arguments: Any) -> None:
        made.append(arguments)
        plain(self, **arguments)

    monkeypatch.setattr(UnrolledDARTS, "__init__", init)
    found = []
    for i, change in enumerate([{}, {"fused": False}, {"recompute": True}]):
        settings = {**TINY["search"], "epochs": 1, "precision": "64-true", **change}
        result = search(parse_run({**TINY, "search": settings}), tmp_path / str(i), lambda _: None)
        found.append([result[name] for name in ("val_loss", "train_loss", "entropy", "score_1")])
    assert [(a["fused"], a["recompute"]) for a in made] == [
        (True, False),
        (False, False),
        (True, True),
    ]
    assert found[1] == pytest.approx(found[0], rel=1e-9)
    assert found[2] == pytest.approx(found[0], rel=1e-9)


def test_the_final_result_is_flat_and_enough_to_do_it_again(tmp_path: Path) -> None:
    one = {**TINY, "search": {**TINY["search"], "epochs": 1}}
    reports: list[dict[str, float]] = []
    result = search(parse_run(one), tmp_path / "a", reports.append)
    assert all(isinstance(value, str | int | float) for value in result.values())
    assert result["stage"] == "search"
    assert result["key"] == reports[0]["key"] == "search-0"
    assert result["seed"] == 0
    assert json.loads(result["genotype_1"])["normal_concat"] == [2, 3]
    assert result["score_1"] >= result["score_2"]
    assert len(reports) == 1
    assert reports[0]["default"] == result["default"]
    again = search(parse_run(json.loads(result["run"])), tmp_path / "b", reports.append)
    assert again["genotype_1"] == result["genotype_1"]
    assert again["score_1"] == result["score_1"]
    other = search(parse_run({**one, "seed": 1}), tmp_path / "c", reports.append)
    assert other["score_1"] != result["score_1"]


def test_a_search_that_was_over_gives_its_result_again(tmp_path: Path) -> None:
    one = parse_run({**TINY, "search": {**TINY["search"], "epochs": 1}})
    reports: list[dict[str, float]] = []
    first = search(one, tmp_path, reports.append)
    again = search(one, tmp_path, reports.append)
    for result in (first, again):
        del result["seconds"]
    assert first == again
    assert len(pd.read_csv(tmp_path / "history.csv")) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"space": {"name": "DartsCNM"}}, "did you mean 'DartsCNN'?"),
        ({"space": {"name": "no_such.package.Space"}}, "cannot import 'no_such.package'"),
        ({"space": {"name": "search_spaces.DartsNetwork"}}, "must be a subclass of ModelSpace"),
        ({"space": {"name": "search_spaces.DartsCMN"}}, "did you mean 'DartsCNN'?"),
        ({"space": {"name": "DartsCNN", "chanels": 4}}, "did you mean 'channels'?"),
        ({"space": {"name": "DartsCNN", "num_cells": 2}}, "space: num_cells must be at least 3"),
        ({"space": {"name": "DartsCNN", "primitives": ["sep"]}}, "unknown primitive 'sep'"),
        ({"data": {"name": "digit"}}, "did you mean 'digits'?"),
        ({"data": {"name": "digits", "num_worker": 2}}, "did you mean 'num_workers'?"),
        ({"data": {"name": "image_folder", "root": "/no/such/folder"}}, "/no/such/folder"),
        ({"search": {"batch_size": 5000}}, "batch_size must be at most"),
    ],
)
def test_mistakes_are_found_before_training(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        search(parse_run({**TINY, **changes}), tmp_path, lambda report: None)
    (problem,) = caught.value.problems
    assert expected in problem
    assert not list(tmp_path.iterdir())


def test_a_diverging_search_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    good = {**TINY, "search": {**TINY["search"], "epochs": 1}}
    search(parse_run(good), tmp_path, lambda report: None)
    before = (tmp_path / "last.ckpt").read_bytes()
    wild = {"learning_rate": 1e30, "gradient_clip": None, "learning_rate_min": 1e30}
    bad = {**TINY, "search": {**TINY["search"], **wild}}
    with pytest.raises(DivergedError, match=r"is (nan|inf) in epoch \d, step \d"):
        search(parse_run({**bad}), tmp_path / "bad", lambda report: None)
    assert (tmp_path / "last.ckpt").read_bytes() == before


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a search that is over, and its result."""
    folder = tmp_path_factory.mktemp("over")
    return folder, search(parse_run(SHORT), folder, lambda report: None)


SHORT = {**TINY, "search": {**TINY["search"], "epochs": 2}}


def test_a_damaged_checkpoint_of_a_search_is_put_aside_for_the_one_before(
    over: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(over[0], folder)
    damaged = (folder / "last.ckpt").read_bytes()[:-500]
    (folder / "last.ckpt").write_bytes(damaged)
    result = search(parse_run(SHORT), folder, lambda report: None)
    printed = capsys.readouterr().out
    assert (
        f"{folder}/last.ckpt is not a complete checkpoint: it is put aside as last.ckpt.damaged; "
        "the run goes on from previous.ckpt" in printed
    )
    assert "epoch 2/2" in printed
    assert "epoch 1/2" not in printed
    assert (folder / "last.ckpt.damaged").read_bytes() == damaged
    for name in ("genotype_1", "score_1", "val_loss", "entropy"):
        assert result[name] == over[1][name]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"search": {**SHORT["search"], "learning_rate": 0.1}}, "learning_rate is 0.025 there"),
        ({"data": {"name": "digits", "seed": 1}}, "data is {'name': 'digits'} there"),
        ({"space": {**TINY["space"], "num_cells": 4}}, "space is "),
    ],
)
def test_a_search_does_not_go_on_from_another_ones_checkpoint(
    over: tuple[Path, dict[str, Any]], changes: dict[str, Any], expected: str
) -> None:
    before = (over[0] / "last.ckpt").read_bytes()
    with pytest.raises(SettingsError, match=r"last.ckpt is of another run") as caught:
        search(parse_run({**SHORT, **changes}), over[0], lambda report: None)
    (problem,) = caught.value.problems
    assert expected in problem
    assert (over[0] / "last.ckpt").read_bytes() == before


def test_what_does_not_decide_the_outcome_may_differ(over: tuple[Path, dict[str, Any]]) -> None:
    settings = {**SHORT["search"], "cpu_threads": 1, "seeds": [0, 1, 2]}
    result = search(parse_run({**SHORT, "search": settings}), over[0], lambda report: None)
    assert result["genotype_1"] == over[1]["genotype_1"]


def trained(stage: str, **changes: Any) -> dict[str, Any]:
    """Parameters of a run that trains a genotype, with tiny settings."""
    training = {
        "channels": 4,
        "num_cells": 3,
        "epochs": 2,
        "batch_size": 256,
        "auxiliary_weight": 0,
        "cutout": 0,
        "val_share": 0.2,
        **changes,
    }
    genotype = draw(1, 0, num_nodes=2)[0].to_json()
    return {**TINY, "stage": stage, stage: training, "genotype": genotype}


def test_select_compares_on_validation_data_and_reads_no_test_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: Digits) -> Any:
        raise AssertionError("the test images are for evaluate")

    monkeypatch.setattr(Digits, "load_test", forbidden)
    reports: list[dict[str, Any]] = []
    run = parse_run(trained("select"))
    result = STAGES["select"](run, tmp_path, reports.append)
    assert all(isinstance(value, str | int | float) for value in result.values())
    assert result["key"] == key(run) == reports[0]["key"]
    assert result["default"] == result["val_acc"] == max(r["default"] for r in reports)
    assert "test_acc" not in result
    assert json.loads(result["genotype"]) == json.loads(str(run.genotype))
    again = STAGES["select"](
        parse_run(json.loads(result["run"])), tmp_path / "again", reports.append
    )
    assert again["val_loss"] == result["val_loss"]


def test_evaluate_tests_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    load_test = Digits.load_test

    def counted(self: Digits) -> Any:
        reads.append(1)
        return load_test(self)

    monkeypatch.setattr(Digits, "load_test", counted)
    reports: list[dict[str, Any]] = []
    result = STAGES["evaluate"](parse_run(trained("evaluate")), tmp_path, reports.append)
    assert len(reads) == 1
    assert 0 <= result["test_acc"] <= 1
    assert not any("test" in name for report in reports for name in report)
