from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from experiments import (
    NAME_A,
    NAME_B,
    ROOT,
    SAMPLE,
    WHOLE,
    A,
    B,
    ended,
    evaluated,
    searched,
    selected,
    store,
)
from nni_darts.cli.main import main
from nni_darts.experiment.architectures import cells
from nni_darts.experiment.report import html
from nni_darts.genotypes.genotype import Genotype

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


@pytest.mark.parametrize(
    "name",
    [
        "darts.yml",
        "darts_cifar10.yml",
        "darts_pt_cifar10.yml",
        "darts_rnn.yml",
        "pc_darts_cifar10.yml",
    ],
)
def test_shipped_experiments_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "experiments" / name)]) == 0
    assert "all is right" in capsys.readouterr().out


def test_pc_darts_on_a_folder_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "experiments/pc_darts_imagenet.yml").read_text()
    text = text.replace("trialCodeDirectory: ..", f"trialCodeDirectory: {ROOT}")
    text = text.replace("codeDirectory: ..", f"codeDirectory: {ROOT}")
    text = text.replace("/data/imagenet-eighth", str(tmp_path / "images"))
    image = tmp_path / "image.png"
    Image.new("RGB", (230, 240), "white").save(image)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(1024):
            (tmp_path / "images" / name / f"{i}.png").symlink_to(image)
    path = tmp_path / "experiment.yml"
    path.write_text(text)
    assert main(["check", str(path)]) == 0
    assert "all is right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "k", "batch", "rate", "rest", "alpha"),
    [("cifar10", 4, 256, 0.1, 15, 6e-4), ("imagenet", 2, 1024, 0.5, 35, 6e-3)],
)
def test_published_settings_of_pc_darts(
    name: str, k: int, batch: int, rate: float, rest: int, alpha: float
) -> None:
    # Traps 5 and 6: a long warm-up, a high learning rate with a large batch, another K on ImageNet.
    values = yaml.safe_load((ROOT / f"experiments/pc_darts_{name}.yml").read_text())
    space, search = (values["tuner"]["classArgs"][part] for part in ("space", "search"))
    assert (space["partial_channels"], space["edge_weights"]) == (k, True)
    assert (search["batch_size"], search["learning_rate"]) == (batch, rate)
    assert (search["epochs"], search["warmup_epochs"]) == (50, rest)
    assert (search["arc_learning_rate"], search["learning_rate_min"]) == (alpha, 0)


@pytest.mark.parametrize(("name", "pattern"), [("ptb", "ptb.{}.txt"), ("wikitext-2", "{}.txt")])
def test_shipped_experiments_on_texts_of_the_users(
    name: str, pattern: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(ROOT / "experiments" / f"darts_rnn_{name.replace('wikitext-2', 'wt2')}.yml")
    assert main(["check", path]) == 2
    assert f"give as root the folder of {name[0]}" in capsys.readouterr().err
    folder = home / "data" / name
    folder.mkdir(parents=True)
    for part in ("train", "valid", "test"):
        (folder / pattern.format(part)).write_text("a b c\n" * 3000)
    assert main(["check", path]) == 0


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
        ({"top": {"maxTrialNumber": 3}}, "maxTrialNumber: must be 7"),
        ({"top": {"maxTrialNumber": None}}, "maxTrialNumber: must be 7"),
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


# export


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["export", *arguments, "--format", "json"]) == 0
    return list(json.loads(capsys.readouterr().out))


def test_export_of_all_searches_each_genotype_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(home, "abc", [searched(0, (-3.0, A), (-5.0, B)), ended("FAILED"), searched(7, (-4.0, B))])
    first, second = exported(capsys)
    assert first == {
        "rank": 1,
        "stage": "search",
        "name": NAME_A,
        "score": -3.0,
        "seed": 0,
        "trial": "trial0",
        "supernet_acc": 0.5,
        "val_acc": None,
        "test_acc": None,
        "test_std": None,
        "params": None,
        "multiply_adds": None,
        "genotype": json.loads(A),
    }
    assert (second["score"], second["seed"], second["trial"]) == (-4.0, 7, "trial2")
    assert [row["rank"] for row in exported(capsys, "--top-k", "1")] == [1]


def test_export_as_a_table(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = [searched(0, (-3.0, A), (-5.0, B)), selected(B, 0.75), evaluated(B, 0, 0.875)]
    store(home, "abc", trials)
    assert main(["export"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "experiment abc test"
    header, first, normal, _, second, *_ = lines[lines.index("") + 1 :]
    assert first.split() == [
        "1",
        "evaluate",
        NAME_B,
        "-5.000",
        "0",
        "trial0",
        "75.00%",
        "87.50%",
        "4,474",
        "79,936",
    ]
    assert second.split()[:4] == ["2", "search", NAME_A, "-3.000"]
    assert len(header) == len(first) == len(second)
    assert normal.startswith("      normal    2: ")


def test_export_takes_the_latest_of_ours(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "old", [searched(0, (-1.0, A))], start=1)
    store(home, "new", [searched(5, (-2.0, A))], start=2)
    store(home, "other", [searched(9, (-3.0, A))], class_name="TPE", start=3)
    assert exported(capsys)[0]["seed"] == 5
    assert exported(capsys, "old")[0]["seed"] == 0


@pytest.mark.parametrize("form", ["authors", "ptdarts", "nni"])
def test_export_for_other_programs(
    form: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(home, "abc", [searched(0, (-3.0, A), (-5.0, B))])
    assert main(["export", "--format", form]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "rank 1: search, score -3.0000, seed 0, trial trial0",
        "rank 2: search, score -5.0000, seed 0, trial trial0",
    ]
    assert [Genotype.parse(line).digest for line in out.splitlines()] == [NAME_A, NAME_B]


@pytest.mark.parametrize("top_k", ["1", "2"])
@pytest.mark.parametrize("form", ["authors", "ptdarts", "nni"])
def test_what_was_exported_can_be_shown_and_drawn(
    form: str, top_k: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(home, "abc", [searched(0, (-3.0, A), (-5.0, B))])
    path, picture = home / "best (1).txt", home / "best.svg"
    assert main(["export", "--format", form, "--top-k", top_k, "-o", str(path)]) == 0
    capsys.readouterr()
    assert main(["show", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == cells(A)
    assert main(["draw", str(path), "-o", str(picture)]) == 0
    assert picture.exists()


def test_export_of_a_sample(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [searched(0, (-1.0, SAMPLE))])
    assert main(["export", "--format", "nni"]) == 0
    assert capsys.readouterr().out.splitlines() == [SAMPLE]
    assert main(["export"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"      {SAMPLE}"
    assert main(["export", "--format", "authors"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "error: experiment abc searched a space without cells, and the format 'authors' is of "
        "cells; use 'nni' or 'json'"
    )


def test_names_do_not_command_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [searched(0, (-1.0, A))], experimentName="\x1b[2J\u202ex")
    assert main(["export"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == r"experiment abc \x1b[2J\u202ex"


def test_unknown_keys_do_not_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (
        changed(tmp_path, top={"\x1b[2Jx": 1}),
        changed(tmp_path, search={"\u202eepochs": 1}),
    ):
        assert main(["check", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.rstrip("\n").isprintable()
        assert error.startswith("error: ")


@pytest.mark.parametrize("command", ["export", "report"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no experiment of nni-darts was found"),
        (["xyz"], "NNI knows no experiment 'xyz'"),
    ],
)
def test_without_an_experiment(
    command: str,
    arguments: list[str],
    expected: str,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([command, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert expected in line


def test_export_before_a_run_has_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [ended("FAILED"), ended("RUNNING", "search-1")])
    for arguments in (["export"], ["export", "--format", "json"]):
        assert main(arguments) == 2
        assert "trials: trial0 failed, trial1 running" in capsys.readouterr().err


def test_an_experiment_of_another_tuner(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = {"stage": "x", "key": "y", "default": 0.5}
    store(home, "abc", [foreign], class_name="TPE")
    for command, expected in (("export", "no run of experiment abc"), ("report", "not one of")):
        assert main([command, "abc"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert expected in line


def test_a_broken_database(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [searched(0, (-1.0, A))])
    (home / "nni-experiments/abc/db/nni.sqlite").write_bytes(b"not a database" * 100)
    for command in ("export", "report"):
        assert main([command, "abc"]) == 2
        assert "cannot read experiment abc" in capsys.readouterr().err


def test_export_to_a_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(home, "abc", [searched(0, (-1.0, A))])
    path = home / "genotypes.json"
    assert main(["export", "--format", "json", "-o", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(path.read_text())[0]["genotype"] == json.loads(A)
    assert main(["export", "-o", "/no/such/folder/f.json"]) == 2
    assert "cannot write /no/such/folder/f.json" in capsys.readouterr().err


# report


def test_the_command(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = store(home, "abc", WHOLE)
    monkeypatch.chdir(home)
    assert main(["report"]) == 0
    assert capsys.readouterr().out == "written to report-abc.html\n"
    assert (home / "report-abc.html").read_text(encoding="utf-8") == html(experiment)
    assert main(["report", "-o", "/no/such/folder/page.html"]) == 2
    assert "cannot write /no/such/folder/page.html" in capsys.readouterr().err
