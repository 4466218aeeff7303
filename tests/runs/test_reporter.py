from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nni_darts._common.metric import ACCURACY
from nni_darts.genotypes.genotype import OPERATIONS, PRIMITIVES
from nni_darts.runs.reporter import (
    MAX_KEY,
    History,
    Reporter,
    as_text,
    leading,
    mean_entropy,
    search_metrics,
    short_keys,
    summary,
    write_genotypes,
)
from nni_darts.training.run_folder import RunFolder


def edges(kind: str, inputs: int = 2, nodes: int = 4) -> list[str]:
    return [f"{kind}_{j}_{i}" for j in range(inputs, inputs + nodes) for i in range(j)]


def test_keys_of_the_darts_cells() -> None:
    labels = [*edges("normal"), *edges("reduce")]
    keys = short_keys({label: list(PRIMITIVES) for label in labels})
    assert keys["normal_2_0", "sep_conv_3x3"] == "n2<0 sep3"
    assert keys["reduce_5_4", "skip_connect"] == "r5<4 skip"
    assert len(set(keys.values())) == 224


@pytest.mark.parametrize(
    "labels",
    [
        {"a_very_long_label_for_a_choice": ["conv_one", "conv_two", 3]},
        {f"stage{i}_of_the_network": list(OPERATIONS) for i in range(30)},
        {"normal/2_0": ["x"], "normal/2_1": ["x"], "depth": [1, 2, 3]},
    ],
)
def test_other_keys_are_short_and_distinct(labels: dict[str, list[Any]]) -> None:
    keys = short_keys(labels)
    assert len(keys) == sum(map(len, labels.values()))
    assert len(set(keys.values())) == len(keys)
    assert all(len(key) <= MAX_KEY for key in keys.values())


def test_entropy_by_hand() -> None:
    assert mean_entropy({"a": {0: 0.5, 1: 0.5}, "b": {0: 1.0, 1: 0.0}}) == pytest.approx(
        math.log(2) / 2
    )


def test_leading_operations() -> None:
    report = {"n2<0 none": 0.9, "n2<0 sep3": 0.06, "n2<0 skip": 0.04, "n2<1 sep3": 0.5, "epoch": 1}
    assert leading(report) == "normal 2 sep3"
    assert leading({"default": 0.5}) == ""


def test_text_of_samples() -> None:
    cell = {f"{kind}_2": [1, 0] for kind in ("normal", "reduce")}
    cell |= {f"{kind}_2_{i}": "own_op" for kind in ("normal", "reduce") for i in (0, 1)}
    assert json.loads(as_text(cell))["normal"] == [["own_op", 1], ["own_op", 0]]
    assert as_text({"layer": 0}) == '{"layer": 0}'


def test_the_text_of_a_sample_leaves_no_choice_out() -> None:
    sample: dict[str, Any] = {f"{kind}_2": [1, 0] for kind in ("normal", "reduce")}
    sample |= {f"{kind}_2_{i}": "none" for kind in ("normal", "reduce") for i in (0, 1)}
    sample |= {"kernel": "conv_5x5"}
    assert json.loads(as_text(sample)) == sample


def test_epochs_that_run_again_are_written_once(tmp_path: Path) -> None:
    history = History(RunFolder.at(tmp_path))
    assert history.last() == {}
    for epoch, value in [(0, 0.1), (1, 0.2), (2, 0.3), (1, 0.4)]:
        history.add({"default": value, "epoch": epoch})
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["epoch"].tolist() == [0, 1]
    assert table["default"].tolist() == [0.1, 0.4]
    assert history.last() == {"default": 0.4, "epoch": 1}
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(
    "content", ["", "epoch,default\nx,1\n", "a\n1\n", "\0\0", "\udc80", 'epoch,default\n1,"2']
)
def test_a_damaged_history_is_put_aside(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    history = History(RunFolder.at(tmp_path))
    assert history.last() == {}
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        f"{path} is damaged: it is put aside as history.csv.damaged; what it told of earlier "
        "epochs is lost"
    )
    history.add({"default": 0.5, "epoch": 3})
    assert history.last() == {"default": 0.5, "epoch": 3}


def test_genotypes_of_an_epoch(tmp_path: Path) -> None:
    write_genotypes(RunFolder.at(tmp_path), 1, [(-1.0, '{"a": 1}')])
    (genotype,) = json.loads((tmp_path / "genotypes.json").read_text())
    assert genotype == {"score": -1.0, "epoch": 1, "genotype": {"a": 1}}
    assert not list(tmp_path.glob("*.new"))


def test_a_report_is_flat_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[dict[str, Any]] = []
    reporter = Reporter(sent.append, RunFolder.at(tmp_path), "search-7", seed=7, epochs=3)
    probabilities = {"normal_2_0": dict.fromkeys(PRIMITIVES, 0.125)}
    metrics = {"val_acc": 0.5, "val_loss": 1.5, "train_loss": 1.0, "train_acc": 0.6}
    reporter.epoch(0, metrics["val_acc"], search_metrics(metrics, ACCURACY, probabilities))
    (report,) = sent
    assert next(iter(report)) == "default"
    assert report["default"] == 0.5
    assert report["seed"] == 7
    assert report.pop("key") == "search-7"
    assert report["n2<0 sep3"] == 0.125
    assert report["entropy"] == pytest.approx(math.log(8))
    # NNI's web UI lists numbers only.
    assert all(isinstance(value, int | float) for value in report.values())
    printed = capsys.readouterr().out
    assert printed.startswith("epoch 1/3  val acc 0.5000  val loss 1.5000  train acc 0.6000")


def test_a_validation_accuracy_that_equals_the_training_accuracy_is_told() -> None:
    report = {"default": 0.6, "epoch": 0, "seconds": 1.0, "train_acc": 0.6, "val_loss": 1.5}
    assert (
        summary(report, 3) == "epoch 1/3  val acc 0.6000  val loss 1.5000  train acc 0.6000  1.0 s"
    )


def test_without_validation_the_training_accuracy_is_not_called_otherwise() -> None:
    report = {"default": 0.6, "epoch": 0, "seconds": 1.0, "train_acc": 0.6}
    assert summary(report, 3) == "epoch 1/3  train acc 0.6000  1.0 s"
