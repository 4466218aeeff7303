from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from experiments import NAME_A, ROOT, SETTINGS, WHOLE, A, evaluated, store
from nni_darts.experiment import check, reproduction, results
from nni_darts.experiment.architectures import ranked_architectures
from nni_darts.experiment.nni_database import Experiment
from nni_darts.genotypes import genotype_json
from nni_darts.tasks.registry import parse


def test_the_experiment_file_is_the_users(home: Path, tmp_path: Path) -> None:
    text = reproduction.experiment_file(store(home, "abc", WHOLE))
    assert yaml.safe_load(text) == {
        "experimentName": "test",
        "searchSpace": {},
        "trialCommand": "python -m nni_darts.trial",
        "trialCodeDirectory": str(ROOT),
        "trialConcurrency": 1,
        "maxTrialNumber": 6,
        "tuner": {
            "className": "nni_darts.tuner.DartsProtocol",
            "codeDirectory": str(ROOT),
            "classArgs": SETTINGS,
        },
        "trainingService": {"platform": "local"},
    }
    assert "      seeds: [0, 1]\n" in text
    assert "&" not in text  # no aliases
    path = tmp_path / reproduction.FILE
    path.write_text(text)
    _, settings = check.check(path)
    assert settings == parse(SETTINGS)


def test_the_experiment_file_has_no_secrets(home: Path) -> None:
    machine = {"host": "a", "user": "u", "password": "hidden!", "sshPassphrase": "hidden!"}
    service = {"platform": "remote", "machineList": [machine], "reuseMode": False}
    text = reproduction.experiment_file(store(home, "abc", WHOLE, trainingService=service))
    assert "hidden!" not in text
    assert yaml.safe_load(text)["trainingService"] == {
        "platform": "remote",
        "machineList": [
            {"host": "a", "user": "u", "password": "(left out)", "sshPassphrase": "(left out)"}
        ],
    }


def commands(experiment: Experiment, weights: str | None = None) -> list[list[str]]:
    best = next(iter(ranked_architectures(experiment)), None)
    made = reproduction.commands(results.settings(experiment), best, weights)
    return [shlex.split(command) for _, command in made]


def test_the_commands(home: Path) -> None:
    run, retrain, *tests = commands(store(home, "abc", WHOLE), "/a b/best.ckpt")
    assert run == ["nni-darts", "run", "experiment.yml"]
    assert retrain[:4] == ["nni-darts", "retrain", A, "--data"]
    flags = dict(zip(retrain[3::2], retrain[4::2], strict=True))
    assert flags == {
        "--data": "digits",
        "--seed": "0",
        "--channels": "4",
        "--num-cells": "3",
        "--epochs": "2",
        "--batch-size": "64",
        "--auxiliary-weight": "0.0",
        "--cutout": "0",
    }
    evaluate = ["nni-darts", "evaluate"]
    assert tests == [
        [*evaluate, f"retrain-{genotype_json.digest(A)}-digits-0/best.ckpt", "--data", "digits"],
        [*evaluate, "/a b/best.ckpt", "--data", "digits"],
    ]


def test_the_commands_say_what_is_no_default(home: Path) -> None:
    settings = {
        "genotypes": [A],
        "data": {"name": "image_folder", "root": "/my data", "image_size": 64, "seed": 3},
        "evaluate": {"seeds": [5], "val_share": 0, "gradient_clip": None},
    }
    _, retrain, evaluate = commands(store(home, "abc", [evaluated(A, 5, 0.9)], settings=settings))
    data = ["--data", "image_folder", "--root", "/my data", "--image-size", "64"]
    rest = ["--split-seed", "3", "--seed", "5", "--gradient-clip", "none", "--val-share", "0.0"]
    assert retrain[3:] == [*data, *rest]
    assert evaluate[2:] == [f"retrain-{NAME_A}-image_folder-5/last.ckpt", *data]


def test_data_with_arguments_of_its_own_has_no_commands(home: Path) -> None:
    settings = {**SETTINGS, "data": {"name": "my.Images", "size": 3}}
    assert len(commands(store(home, "abc", WHOLE, settings=settings))) == 1


def test_versions_that_differ_are_told_apart() -> None:
    texts = ['{"torch": "2.6"}', '{"torch": "2.7"}', '{"torch": "2.6"}']
    assert reproduction.versions([{}, *({"versions": t} for t in texts)]) == [
        "torch 2.6",
        "torch 2.7",
    ]
