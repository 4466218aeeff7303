from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from nni_darts.cli.main import main
from nni_darts.genotypes import published
from nni_darts.genotypes.genotype import Genotype
from nni_darts.history.record import EpochRecord
from nni_darts.runs import train
from nni_darts.runs.train import Job
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.images.sources import Digits
from nni_darts.training.checkpoint import load

TINY = shlex.split(
    "--data digits --channels 4 --num-cells 3 --epochs 1 --auxiliary-weight 0 --cutout 0 "
    "--batch-size 256"
)


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """The lines that a command prints when it fails; nothing else may be printed."""

    def call(*arguments: str, status: int = 2) -> list[str]:
        assert main(arguments) == status
        printed = capsys.readouterr()
        lines = printed.err.splitlines()
        assert "Traceback" not in printed.err
        assert all(line.startswith("error: ") for line in lines)
        return [line.removeprefix("error: ") for line in lines]

    return call


@dataclass
class Trained:
    """A tiny training that the tests share: they must leave its folder as it is."""

    folder: Path
    printed: str

    @property
    def best(self) -> str:
        return str(self.folder / "best.ckpt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        # Test images are not for training: whoever reads them here fails.
        patch.setattr(Digits, "load_test", lambda self: pytest.fail("read the test images"))
        patch.chdir(folder.parent)
        assert main(["retrain", "DARTS_V2", *TINY, "-o", folder.name]) == 0
    return Trained(folder, printed.getvalue())


# retrain


def test_retrain_says_what_it_did_and_what_to_do_next(trained: Trained) -> None:
    first, epoch, counts, best, weights, again = trained.printed.splitlines()
    assert first == f"retrain DARTS_V2: trained on cpu; results in {trained.folder}"
    assert epoch.startswith("epoch 1/1  val acc 0.")
    assert counts.startswith("parameters ")
    assert "  multiply-adds " in counts
    assert best.startswith("best on validation data: ")
    assert best.endswith("% after epoch 1")
    assert weights == f"weights: {trained.best}"
    assert again == (
        f"test them with: nni-darts evaluate {trained.folder.name}/best.ckpt --data digits"
    )
    names = {path.name for path in trained.folder.iterdir()}
    assert {"best.ckpt", "last.ckpt", "history.csv"} <= names


def test_the_default_output_is_named_after_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs: list[Path] = []
    monkeypatch.setattr(train, "train", lambda job, send: outputs.append(job.output) or RESULT)
    digest = published.get("PDARTS").digest
    main(["retrain", "PDARTS", "--data", "digits", "--seed", "7"])
    main(["retrain", published.get("PDARTS").to_json(), "--data", "digits"])
    assert outputs == [
        tmp_path / "retrain-PDARTS-digits-7",
        tmp_path / f"retrain-{digest}-digits-0",
    ]


def test_the_same_again_goes_on_and_another_is_refused(
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    failing: Callable[..., list[str]],
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained.folder, folder)
    assert main(["retrain", "DARTS_V2", *TINY, "-o", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "epoch 1/1" not in printed  # it was over before
    assert "best on validation data" in printed
    for change, what in (
        (["--epochs", "2"], "epochs is 1 there and 2 here"),
        (["--seed", "1"], "seed is 0 there and 1 here"),
    ):
        (line,) = failing("retrain", "DARTS_V2", *TINY, *change, "-o", str(folder))
        assert f"{folder}/best.ckpt is of another run ({what})" in line
    (line,) = failing("retrain", "DARTS_V1", *TINY, "-o", str(folder))
    assert "is of another run (genotype is" in line


def test_a_training_that_was_stopped_goes_on_from_its_last_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop(record: EpochRecord, epochs: int) -> str:
        # After the first epoch's checkpoint, in the second epoch.
        if record.epoch == 1:
            raise Stopped
        return "first"

    arguments = ["retrain", "DARTS_V2", *TINY, "--epochs", "2", "-o", str(tmp_path / "a")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nni_darts.runs.reporter.summary", stop)
        with pytest.raises(Stopped):
            main(arguments)
    capsys.readouterr()
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "epoch 1/2" not in printed
    assert "epoch 2/2" in printed
    arguments[-1] = str(tmp_path / "whole")
    assert main(arguments) == 0
    ours, whole = (load(tmp_path / name / "best.ckpt").state_dict() for name in ("a", "whole"))
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def test_without_validation_the_last_weights_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["retrain", "DARTS_V2", *TINY, "--val-share", "0", "-o", "a b"]) == 0
    printed = capsys.readouterr().out
    assert "validation data" not in printed
    assert f"weights: {tmp_path}/a b/last.ckpt" in printed
    assert "test them with: nni-darts evaluate 'a b/last.ckpt' --data digits" in printed


VALUES = {
    "channels": "8",
    "num_cells": "5",
    "stem": "imagenet",
    "epochs": "3",
    "batch_size": "7",
    "learning_rate": "0.5",
    "schedule": "step",
    "learning_rate_min": "0.001",
    "learning_rate_decay": "0.5",
    "momentum": "0.8",
    "weight_decay": "0.1",
    "gradient_clip": "none",
    "auxiliary_weight": "0",
    "drop_path": "0.3",
    "cutout": "4",
    "label_smoothing": "0.1",
    "val_share": "0.5",
    "precision": "64-true",
    "devices": "2",
    "cpu_threads": "1",
}
RESULT = {"params": 1, "weights": "w/last.ckpt"}


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("name", ImageTraining.model_fields)
def test_every_setting_has_its_flag(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr(train, "train", lambda job, send: jobs.append(job) or RESULT)
    more = ["--schedule", "step"] if name == "learning_rate_decay" else []
    arguments = ["retrain", "DARTS_V2", "--data", "digits", flag(name), VALUES[name], *more]
    assert main(arguments) == 0
    default = ImageTraining.model_fields[name].default
    value = getattr(jobs[0].settings, name)
    expected = None if VALUES[name] == "none" else type(value)(VALUES[name])
    assert value == expected != default


@pytest.mark.parametrize("name", ImageTraining.model_fields)
def test_a_wrong_value_is_one_line_that_names_its_key(
    name: str, failing: Callable[..., list[str]]
) -> None:
    (line,) = failing("retrain", "DARTS_V2", "--data", "digits", flag(name), "?")
    assert line.startswith(f"{name}: ")
    assert line.endswith("got '?'")


def test_the_flags_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr(train, "train", lambda job, send: jobs.append(job) or RESULT)
    data = ["--root", "/r", "--image-size", "64", "--num-workers", "0", "--split-seed", "3"]
    assert main(["retrain", "DARTS_V2", "--data", "image_folder", *data]) == 0
    expected = {"root": "/r", "image_size": 64, "num_workers": 0, "seed": 3}
    assert jobs[0].data.name == "image_folder"
    assert jobs[0].data.arguments == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["DART_V2", *TINY], "unknown genotype 'DART_V2'; did you mean 'DARTS_V2'?"),
        (["{", *TINY], "not a genotype: invalid JSON"),
        (["RNN_DARTS_V2", *TINY], "normal"),
        (["DARTS_V2", *TINY, "--data", "digit"], "unknown data set 'digit'; did you mean 'digits'"),
        (["DARTS_V2", *TINY, "--root", "/x"], "leave root out"),
        (["DARTS_V2", *TINY, "--cutout", "9"], "cutout must be a whole number from 0 to 8"),
        (["DARTS_V2", *TINY, "--auxiliary-weight", "1"], "auxiliary_weight 0 is none"),
        (["DARTS_V2", *TINY, "--batch-size", "5000"], "batch_size must be at most"),
        (["DARTS_V2", *TINY, "-o", "/dev/null/x"], "the output directory: /dev/null is not a"),
        (["DARTS_V2", *TINY, "--learning-rate-decay", "0.9"], "is for schedule: step"),
    ],
)
def test_retrain_refuses_what_is_wrong(
    arguments: list[str],
    expected: str,
    failing: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = failing("retrain", *arguments)
    assert expected in line
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_fails(
    trained: Trained, tmp_path: Path, failing: Callable[..., list[str]]
) -> None:
    wild = ["--learning-rate", "1e30", "--gradient-clip", "none", "--epochs", "2"]
    (line,) = failing("retrain", "DARTS_V2", *TINY, *wild, "-o", str(tmp_path / "a"), status=1)
    assert "loss" in line
    refused = tmp_path / "b"
    shutil.copytree(trained.folder, refused)
    (refused / "last.ckpt").unlink()
    (refused / "last.ckpt").mkdir()
    (line,) = failing("retrain", "DARTS_V2", *TINY, "-o", str(refused), status=1)
    assert line.startswith(f"{refused}/last.ckpt: is a folder")


# evaluate


def test_evaluate_reads_the_test_images_once(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads, load_test = [], Digits.load_test
    monkeypatch.setattr(Digits, "load_test", lambda self: reads.append(1) or load_test(self))
    monkeypatch.setattr(Digits, "load", lambda self: pytest.fail("read the training images"))
    assert main(["evaluate", trained.best, "--data", "digits"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("test accuracy ")
    assert line.endswith("  on the test images of digits")
    assert reads == [1]

    images, labels = load_test(Digits(None))
    x = (images / 255 - 0.3052) / 0.3758
    with torch.inference_mode():
        right = (load(trained.best)(x).argmax(1) == labels).double().mean()
    assert f"test accuracy {float(right):.2%} " in line


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            ["digits", "--image-size", "16"],
            [
                "trained with image_size 8, digits has 16; choose the data that it was trained on, "
                "or give --image-size 8"
            ],
        ),
        (
            ["cifar100"],
            [
                "trained with num_classes 10, cifar100 has 100; choose the data",
                "trained with in_channels 1, cifar100 has 3; choose the data",
                "trained with image_size 8, cifar100 has 32; choose the data",
            ],
        ),
    ],
)
def test_evaluate_on_other_data(
    data: list[str], expected: list[str], trained: Trained, failing: Callable[..., list[str]]
) -> None:
    lines = failing("evaluate", trained.best, "--data", *data)
    for line, text in zip(lines, expected, strict=True):
        assert line.startswith(f"{trained.best}: ")
        assert text in line


def test_evaluate_of_what_is_no_network(
    trained: Trained, tmp_path: Path, failing: Callable[..., list[str]]
) -> None:
    whole = Path(trained.best).read_bytes()
    (tmp_path / "truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    for name, expected in (
        ("truncated.ckpt", "is not a complete checkpoint"),
        ("text.ckpt", "is not a complete checkpoint"),
        ("foreign.ckpt", "is not a checkpoint of a network trained here"),
        ("missing.ckpt", "no such file"),
        ("", "is a folder"),
    ):
        (line,) = failing("evaluate", str(tmp_path / name), "--data", "digits")
        assert line.startswith(str(tmp_path / name).rstrip("/"))
        assert expected in line


# show


def test_show_counts_as_the_paper_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "DARTS_V2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"DARTS_V2  ({published.source('DARTS_V2')})"
    assert lines[1].startswith("normal    2: sep_conv_3x3(0) sep_conv_3x3(1)  3: ")
    numbers = [line.split(")")[1].split() for line in lines if line.endswith(tuple("0123456789"))]
    assert numbers == [
        ["3,349,342", "3,825,768", "528,359,040"],
        ["4,718,752", "5,979,528", "529,911,552"],
    ]


@pytest.mark.parametrize("name", ["NASNet", "GDAS_V1", "RNN_ENAS"])
def test_show_of_what_others_published(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", name]) == 0
    printed = capsys.readouterr().out
    assert "multiply-adds" in printed


def test_show_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failing: Callable[..., list[str]]
) -> None:
    path = tmp_path / "genotype.json"
    path.write_text(published.get("DARTS_V2").to_text("authors"))
    assert main(["show", str(path)]) == 0
    assert "528,359,040" in capsys.readouterr().out
    path.write_text("{")
    (line,) = failing("show", str(path))
    assert str(path) in line
    assert "unknown genotype 'nothing'" in failing("show", "nothing")[0]


# random


def test_random(capsys: pytest.CaptureFixture[str]) -> None:
    def drawn(*arguments: str) -> list[str]:
        assert main(["random", *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    texts = drawn("--n", "10", "--seed", "3")
    assert len({Genotype.parse(text).digest for text in texts}) == 10
    assert drawn("--n", "10", "--seed", "3") == texts
    assert drawn("--seed", "3") == texts[:1]
    assert drawn("--seed", "4") != texts[:1]
    for form in ("authors", "ptdarts", "nni"):
        others = drawn("--n", "10", "--seed", "3", "--format", form)
        assert [Genotype.parse(text) for text in others] == [Genotype.parse(t) for t in texts]
    assert json.loads(texts[0])["normal_concat"] == [2, 3, 4, 5]


def test_more_random_cells_than_there_are(failing: Callable[..., list[str]]) -> None:
    (line,) = failing("random", "--n", "1" + "0" * 30)
    assert line.startswith("--n: count must be at most ")


# on text

TINY_TEXT = shlex.split(
    "--data alice --hidden 8 --embedding 8 --epochs 1 --batch-size 200 --bptt 20 --dropout-e 0"
)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("language")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder.parent)
        assert main(["retrain", "RNN_DARTS_V2", *TINY_TEXT, "-o", folder.name]) == 0
    return Trained(folder, printed.getvalue())


def test_retrain_on_text(language_model: Trained) -> None:
    _, epoch, counts, best, _, again = language_model.printed.splitlines()
    assert epoch.startswith("epoch 1/1  val ppl ")
    # 1,332 words of 8 numbers, the decoder's bias; 16 x 16 and 8 times 8 x 16.
    assert counts.startswith(f"parameters {1332 * 9 + 256 + 8 * 128:,}  ")
    assert best.startswith("best on validation data: perplexity ")
    assert again.endswith("/best.ckpt --data alice")


def test_evaluate_on_text(language_model: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", language_model.best, "--data", "alice"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("test perplexity ")
    assert printed.rstrip().endswith("on the test text of alice")
    assert "%" not in printed


def test_mistakes_with_texts(
    language_model: Trained, trained: Trained, tmp_path: Path, failing: Callable[..., list[str]]
) -> None:
    best = language_model.best
    (line,) = failing("retrain", "DARTS_V2", "--data", "alice")
    assert "a genotype of a recurrent cell is needed for text, got" in line
    (line,) = failing("retrain", "RNN_DARTS_V2", "--data", "digits")
    assert "is needed for images, got a genotype of a recurrent cell" in line
    assert "(data alice, ptb, wikitext2, text)" in line
    (line,) = failing("retrain", "RNN_DARTS_V2", "--data", "alice", "--cutout", "4")
    assert line.startswith("cutout: unknown key 'cutout'")
    (line,) = failing("retrain", "RNN_DARTS_V2", "--data", "ptb")
    assert "ptb needs root" in line
    (line,) = failing("retrain", "RNN_DARTS_V2", "--data", "ptb", "--data-dir", str(tmp_path))
    assert "ptb has no ptb.train.txt" in line
    (line,) = failing("evaluate", best, "--data", "digits")
    assert line.startswith(f"{best}: ")
    assert "is needed for images" in line
    assert "is needed for text" in failing("evaluate", trained.best, "--data", "alice")[0]
    (line,) = failing("evaluate", best, "--data", "alice", "--batch-size", "4")
    assert "in one stream, got 4" in line
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt").write_text("other words\n" * 100)
    (line,) = failing("evaluate", best, "--data", "text", "--root", str(tmp_path))
    assert "was trained with 1332 words, text has other words, 3" in line


def test_show_counts_recurrent_networks_as_the_paper_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "RNN_DARTS_V2"]) == 0
    printed = capsys.readouterr().out
    assert "22,960,000" in printed
    assert "33,127,878" in printed
    assert "recurrent 1: sigmoid(0)" in printed


def test_random_recurrent_cells(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["random", "--recurrent", "--n", "3", "--seed", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({Genotype.parse(line) for line in lines}) == 3
    assert all(len(Genotype.parse(line).recurrent.nodes) == 8 for line in lines)


def test_draw_a_recurrent_cell(tmp_path: Path) -> None:
    path = tmp_path / "cell.svg"
    assert main(["draw", "RNN_DARTS_V2", "-o", str(path)]) == 0
    assert path.read_text().lstrip().startswith("<?xml")
