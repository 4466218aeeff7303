from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nni_darts._common.metric import ACCURACY
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.history.flat import from_flat
from nni_darts.history.record import EpochRecord
from nni_darts.runs.reporter import (
    Reporter,
    as_text,
    leading,
    summary,
    write_genotypes,
)
from nni_darts.training.run_folder import RunFolder


def test_leading_operations() -> None:
    report = {"n2<0 none": 0.9, "n2<0 sep3": 0.06, "n2<0 skip": 0.04, "n2<1 sep3": 0.5, "epoch": 1}
    assert leading(from_flat(report)) == "normal 2 sep3"
    assert leading(from_flat({"default": 0.5, "epoch": 1})) == ""


def test_a_report_that_was_cut_has_a_summary() -> None:
    whole = {"default": 0.5, "epoch": 1, "val_acc": 0.5, "entropy": 2.0, "seconds": 1.25}
    assert summary(from_flat(whole), 3) == "epoch 2/3  val acc 0.5000  entropy 2.0000  1.2 s"
    assert summary(from_flat({"epoch": 1, "entropy": 2.0}), 3) == "epoch 2/3  entropy 2.0000"


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
    reporter.epoch(EpochRecord.of_search(0, ACCURACY, metrics, probabilities))
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
        summary(from_flat(report), 3)
        == "epoch 1/3  val acc 0.6000  val loss 1.5000  train acc 0.6000  1.0 s"
    )


def test_without_validation_the_training_accuracy_is_not_called_otherwise() -> None:
    report = {"default": 0.6, "epoch": 0, "seconds": 1.0, "train_acc": 0.6}
    assert summary(from_flat(report), 3) == "epoch 1/3  train acc 0.6000  1.0 s"
