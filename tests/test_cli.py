from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from nni_darts import stored
from nni_darts.cli import main

ROOT = Path(__file__).parents[1]
GENOTYPE = {
    "normal": [["sep_conv_3x3", 1], ["skip_connect", 0]],
    "normal_concat": [2],
    "reduce": [["max_pool_3x3", 0], ["dil_conv_5x5", 1]],
    "reduce_concat": [2],
}


# check


def changed(folder: Path, *, top: dict[str, Any] | None = None, **parts: dict[str, Any]) -> Path:
    """The shipped experiment with changes; None takes a key out."""
    values = yaml.safe_load((ROOT / "experiments/darts.yml").read_text())
    values["trialCodeDirectory"] = values["tuner"]["codeDirectory"] = str(ROOT)
    for key, value in (top or {}).items():
        values[key] = value
        if value is None:
            del values[key]
    for part, changes in parts.items():
        target = values["tuner"] if part == "tuner" else values["tuner"]["classArgs"][part]
        target |= changes
    path = folder / "experiment.yml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("name", ["darts.yml", "darts_cifar10.yml"])
def test_shipped_experiments_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "experiments" / name)]) == 0
    assert "all is right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"search": {"epoch": 3}},
            "tuner.classArgs.search.epoch: unknown key 'epoch'; did you mean",
        ),
        (
            {"search": {"hypergradient": "2nd"}},
            "tuner.classArgs.search.hypergradient: input should",
        ),
        (
            {"search": {"batch_size": 0}},
            "tuner.classArgs.search.batch_size: input should be greater",
        ),
        ({"space": {"num_cells": 2}}, "tuner.classArgs.space: num_cells must be at least 3, got 2"),
        ({"space": {"channels": 3}}, "tuner.classArgs.space: channels must be divisible by 2"),
        (
            {"space": {"name": "DartCNN"}},
            "tuner.classArgs.space.name: unknown space 'DartCNN'; did",
        ),
        ({"space": {"cells": 3}}, "tuner.classArgs.space.cells: unknown key 'cells'; did you mean"),
        (
            {"data": {"name": "cifar"}},
            "tuner.classArgs.data: unknown data set 'cifar'; did you mean",
        ),
        ({"data": {"name": "image_folder", "root": "/nowhere"}}, "/nowhere"),
        ({"tuner": {"className": "TPE"}}, "tuner.className: must be nni_darts.tuner.DartsProtocol"),
        ({"tuner": {"codeDirectory": "/nowhere"}}, "/nowhere"),
        ({"top": {"maxTrialNumber": 3}}, "maxTrialNumber: must be 2"),
        ({"top": {"maxTrialNumber": None}}, "maxTrialNumber: must be 2"),
        ({"top": {"trialCommand": "python train.py"}}, "trialCommand: must run nni_darts.trial"),
        ({"top": {"trialConcurency": 1}}, "trialConcurency: unknown key"),
        ({"top": {"trialConcurrency": None}}, "NNI does not take it: "),
        ({"top": {"experimentWorkingDirectory": "/dev/null/x"}}, "/dev/null"),
    ],
)
def test_check_names_file_and_key(
    changes: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(tmp_path, **changes)
    for command in ("check", "run"):
        assert main([command, str(path)]) == 2
        printed = capsys.readouterr()
        assert f"error: {path}: " in printed.err
        assert expected in printed.err
        assert "Traceback" not in printed.err
        assert printed.out == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file"),
        (b"a: [", "is not valid YAML"),
        (b"- 1", "must hold the keys of an NNI experiment"),
        (b"\xff\xfe\x00", "is not a text file in UTF-8"),
    ],
)
def test_check_of_what_is_no_experiment(
    content: bytes | None, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.yml"
    if content is not None:
        path.write_bytes(content)
    assert main(["check", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert expected in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["exprot"],
        ["export", "--top-k", "0"],
        ["export", "--top-k", "x"],
        ["export", "--format", "xml"],
        ["run", "f.yml", "--port", "99999"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


# export, on a database as NNI writes it


def store(
    home: Path,
    id_: str,
    results: list[dict[str, Any]],
    class_name: str = stored.TUNER,
    start: int = 1,
) -> None:
    experiments = home / "nni-experiments"
    (experiments / id_ / "db").mkdir(parents=True)
    record = experiments / ".experiment"
    known = json.loads(record.read_text()) if record.exists() else {}
    known[id_] = {"id": id_, "startTime": start, "logDir": str(experiments)}
    record.write_text(json.dumps(known))
    with sqlite3.connect(experiments / id_ / "db" / "nni.sqlite") as db:
        db.execute("create table TrialJobEvent (trialJobId text, event text, data text)")
        db.execute("create table MetricData (trialJobId text, type text, data text)")
        db.execute("create table ExperimentProfile (params text, revision integer)")
        params = {"experimentName": "test", "tuner": {"className": class_name}}
        db.execute("insert into ExperimentProfile values (?, 1)", [json.dumps(params)])
        for number, result in enumerate(results):
            trial = f"trial{number}"
            # As NNI may record them: those of another trial.
            parameters = json.dumps({"parameters": {"seed": 99}})
            for event in ("WAITING", "RUNNING", "SUCCEEDED" if result else "FAILED"):
                db.execute("insert into TrialJobEvent values (?, ?, ?)", [trial, event, parameters])
            for epoch in (0, 1, 1):
                report = json.dumps(json.dumps({"default": 0.1 * epoch, "epoch": epoch, "seed": 4}))
                db.execute("insert into MetricData values (?, 'PERIODICAL', ?)", [trial, report])
            if result:
                final = json.dumps(json.dumps(result))
                db.execute("insert into MetricData values (?, 'FINAL', ?)", [trial, final])
    db.close()


def result(seed: int, *scores: float, text: str | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = {"default": 0.9, "seed": seed}
    for i, score in enumerate(scores, 1):
        fields |= {f"score_{i}": score, f"genotype_{i}": text or json.dumps(GENOTYPE)}
    return fields


def test_export_ranks_over_all_searches(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [result(0, -3.0, -5.0), {}, result(7, -4.0)])
    assert main(["export", "--top-k", "2", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["score"], r["seed"], r["trial"]) for r in rows] == [
        (-3.0, 0, "trial0"),
        (-4.0, 7, "trial2"),
    ]
    assert rows[0]["genotype"] == GENOTYPE
    assert main(["export"]) == 0
    table = capsys.readouterr().out
    assert "normal    2: sep_conv_3x3(1) skip_connect(0)" in table
    assert "-4.000     7  trial2" in table


def test_export_takes_the_latest_of_ours(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "old", [result(0, -1.0)], start=1)
    store(home, "new", [result(5, -2.0)], start=2)
    store(home, "other", [result(9, -3.0)], class_name="TPE", start=3)
    assert main(["export", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["seed"] == 5
    assert main(["export", "old", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["seed"] == 0


def test_reports_of_an_epoch_that_ran_twice_count_once(home: Path) -> None:
    store(home, "abc", [result(0, -1.0)])
    (trial,) = stored.find("abc").trials()
    assert sorted(trial.reports) == [0, 1]
    assert trial.status == "SUCCEEDED"
    assert trial.seed == 4


def test_export_of_a_sample(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [result(0, -1.0, text='{"layer": 1}')])
    assert main(["export", "--format", "nni"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == '{"layer": 1}'
    assert main(["export"]) == 0
    capsys.readouterr()
    assert main(["export", "--format", "authors"]) == 2
    assert "has no form 'authors'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["export"], "no experiment of nni-darts was found"),
        (["export", "xyz"], "NNI knows no experiment 'xyz'"),
    ],
)
def test_export_without_an_experiment(
    arguments: list[str], expected: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert expected in line


def test_export_before_a_search_has_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [{}])
    for arguments in (["export"], ["export", "--format", "json"]):
        assert main(arguments) == 2
        assert "trials: trial0 failed" in capsys.readouterr().err


def test_export_of_a_broken_database(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [result(0, -1.0)])
    (home / "nni-experiments/abc/db/nni.sqlite").write_bytes(b"not a database" * 100)
    assert main(["export", "abc"]) == 2
    assert "cannot read experiment abc" in capsys.readouterr().err


def test_export_to_a_file_that_cannot_be_written(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(home, "abc", [result(0, -1.0)])
    assert main(["export", "-o", "/no/such/folder/f.json"]) == 2
    assert "cannot write /no/such/folder/f.json" in capsys.readouterr().err
