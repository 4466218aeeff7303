from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nni_darts.cli.main import main
from nni_darts.history.record import EpochRecord
from nni_darts.runs import reporter
from nni_darts.runs.stages import search
from nni_darts.tasks.registry import parse_run

PT = ["--epochs-between", "1"]


def run(**settings: Any) -> Any:
    space = {
        "name": "DartsCNN",
        "channels": 4,
        "num_cells": 3,
        "num_nodes": 2,
        "primitives": ["none", "skip_connect", "max_pool_3x3"],
    }
    parts = {"hypergradient": "first_order", "arc_learning_rate": 0.1, "top_k": 2}
    both = {"seeds": [0], "epochs": 2, "batch_size": 256, **parts, **settings}
    data = {"name": "digits"}
    return parse_run({"stage": "search", "seed": 3, "space": space, "data": data, "search": both})


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    search(run(), folder, lambda report: None)
    return folder


def test_it_decides_as_the_search_itself_would_have(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", str(searched), *PT, "-o", str(tmp_path / "anew")]) == 0
    printed = capsys.readouterr().out
    assert "rank 1: score 0.0000" in printed
    selection = {"name": "perturbation", "epochs_between": 1}
    search(run(selection=selection), tmp_path / "whole", lambda report: None)
    for name in ("selection.json", "genotypes.json"):
        one, other = [(tmp_path / f / name).read_text() for f in ("anew", "whole")]
        assert one == other
    histories = [(tmp_path / f / "history.csv").read_text() for f in ("anew", "whole")]
    assert [len(text.splitlines()) for text in histories] == [1 + 2 + 6] * 2
    genotype = json.loads((tmp_path / "anew" / "genotypes.json").read_text())[0]["genotype"]
    assert json.dumps(genotype) in printed


def test_it_goes_on_where_it_was_stopped(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    plain = reporter.summary

    def stop(record: EpochRecord, epochs: int) -> str:
        if record.epoch == 4:
            raise Stopped
        return plain(record, epochs)

    folders = [tmp_path / name for name in ("stopped", "whole")]
    monkeypatch.setattr(reporter, "summary", stop)
    with pytest.raises(Stopped):
        main(["select", str(searched / "last.ckpt"), *PT, "-o", str(folders[0])])
    monkeypatch.undo()
    for folder in folders:
        assert main(["select", str(searched / "last.ckpt"), *PT, "-o", str(folder)]) == 0
    one, other = [(folder / "selection.json").read_text() for folder in folders]
    assert one == other


def test_drawn_subnets_are_compared(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--selection", "subnets", "--count", "3", "--batches", "1", "--top-k", "3"]
    assert main(["select", str(searched), *options]) == 0
    assert "rank 3: score 0." in capsys.readouterr().out
    decided = json.loads((searched / "select-subnets" / "selection.json").read_text())
    assert len(decided["subnets"]) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--count", "3"], "unknown option of selection perturbation, 'count'"),
        (["--epochs-between", "0"], "expected a whole number from 1"),
        (["--selection", "perturbed"], "did you mean 'perturbation'"),
        (["--learning-rate", "-1"], "learning_rate must be positive, got -1.0"),
    ],
)
def test_a_mistake_is_one_line(
    searched: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["select", str(searched), *arguments])
    except SystemExit as end:
        status = int(str(end.code))
    lines = capsys.readouterr().err.splitlines()
    assert status == 2
    assert len(lines) == 1
    assert expected in lines[0]


def test_only_a_search_that_is_over_is_taken(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped(Exception):
        pass

    def stop(report: dict[str, Any]) -> None:
        if report["epoch"] == 1:
            raise Stopped

    with pytest.raises(Stopped):
        search(run(epochs=3), tmp_path / "half", stop)
    assert main(["select", str(tmp_path / "half")]) == 2
    assert "has done 1 of 3 epochs; go on with it first" in capsys.readouterr().err
    assert main(["select", str(tmp_path)]) == 1
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "a.ckpt").write_text("a")
    assert main(["select", str(tmp_path / "a.ckpt")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
