"""Bad files, of a user or in a folder of ours: one line that names them, and nothing is run."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import os
import pickle
import shutil
import sqlite3
import struct
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from experiments import A, searched, store
from nni_darts._common import files, limits
from nni_darts._common.messages import printable
from nni_darts.cli.main import main
from nni_darts.experiment import ledger
from nni_darts.genotypes import published
from nni_darts.history import csv_file
from nni_darts.history.csv_file import History
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.training_data import TrainingData
from nni_darts.tasks.language.data import TextTrainingData
from nni_darts.training import checkpoint
from nni_darts.training.identity import Identity
from nni_darts.training.run_folder import RunFolder
from nni_darts.training.trainer_options import SIGNATURE, go_on
from search_spaces import DartsNetwork

pytestmark = pytest.mark.timeout(60)

Write = Callable[[Path], Any]
"""Puts something bad at a path."""


@contextmanager
def at_once() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 5


def refused(kind: type[Exception], path: Path | str, call: Callable[[], Any]) -> str:
    """The one line of the error, which names the path; the folder of the path stays as it is.

    Of a name alone the folder is not known: the tests' own is changed by others meanwhile.
    """
    folder = Path(path).parent
    before = sorted(folder.rglob("*")) if folder not in (Path("/dev"), Path()) else []
    with at_once(), pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert str(path).replace("\0", "") in text.replace("\0", "")
    assert len(text) < 2000
    if before:
        assert sorted(folder.rglob("*")) == before
    return text


def holding(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def folder(path: Path) -> None:
    path.mkdir()


def link_to(target: str) -> Write:
    return lambda path: path.symlink_to(target)


def looped(path: Path) -> None:
    path.symlink_to(path)


NO_FILES: dict[str, Write] = {
    "a pipe": os.mkfifo,
    "an endless device": link_to("/dev/zero"),
    "an empty device": link_to("/dev/null"),
    "a folder": folder,
    "a link that leads nowhere": link_to("nowhere"),
    "a link to itself": looped,
}


# Genotypes

GENOTYPES = {
    **NO_FILES,
    "nothing": holding(b""),
    "another encoding": holding('{"normal": 1}'.encode("utf-16")),
    "no text": holding(bytes(range(256))),
    "null bytes": holding(b"\0" * 100),
    "too much": holding(b" " * 300_000),
    "too deep": holding(b'{"normal": ' + b"[" * 20_000),
    "too deep for Python": holding(b"Genotype(normal=" + b"(" * 20_000),
    "a list": holding(b"[]"),
    "a number": holding(b"9" * 10_000),
    "code": holding(b"Genotype(normal=__import__('os').mkdir('ran'))"),
    "an endless range": holding(b"Genotype(normal=[], normal_concat=range(10000000000))"),
    "an unknown operation": holding(A.replace("sep_conv_3x3", "x" * 5000).encode()),
    "a state that is not there yet": holding(A.replace(", 1]", ", 99]").encode()),
    "half of it": holding(A[: len(A) // 2].encode()),
}


@pytest.mark.parametrize("write", GENOTYPES.values(), ids=GENOTYPES)
def test_genotypes(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("best.json")
    write(path)
    refused(ValueError, path, lambda: published.from_argument(str(path)))


# What a search has told


HISTORIES = {
    **NO_FILES,
    "nothing": holding(b""),
    "another encoding": holding("epoch,n2<0 skip\n0,0.5\n".encode("utf-16")),
    "null bytes": holding(b"\0" * 1000),
    "too many columns": holding(b"," * 6_000_000),
    "too many rows": holding(b"epoch\n" + b"1\n" * 6_000_000),
    "an open quote": holding(b'epoch,"n2<0 skip\n0,0.5\n'),
    "epochs without bounds": holding(b"epoch,n2<0 skip\n1e300,0.5\n"),
    "epochs that are none": holding(b"epoch,n2<0 skip\nnan,0.5\n-1,1\n0.5,1\n"),
    "weights that are none": holding(b"epoch,n2<0 skip\n0,x\n1,inf\n"),
}


@pytest.mark.parametrize("write", HISTORIES.values(), ids=HISTORIES)
def test_histories_for_pictures(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write(path)
    refused(ValueError, path, lambda: csv_file.read(path))


@pytest.mark.parametrize(
    "write",
    [os.mkfifo, link_to("/dev/zero"), *map(holding, (b"", b"\xff", b"epoch\n0", b"epoch,epoch\n"))],
)
def test_histories_of_runs_that_go_on(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.csv"
    write(path)
    with at_once():
        assert History(RunFolder.at(tmp_path)).records() == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path} is damaged")


@pytest.mark.parametrize(
    "write", [os.mkfifo, *map(holding, (b"\xff", b"epoch\n\0", b"epoch\n1e99\n", b'"' * 200_000))]
)
def test_how_far_a_run_has_come_is_not_known(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "history.csv")
    with at_once():
        assert not RunFolder.at(tmp_path).epochs_done()


# Results and states


JSON = {
    "a pipe": os.mkfifo,
    "an endless device": link_to("/dev/zero"),
    "a folder": folder,
    "nothing": holding(b""),
    "no text": holding(b"\xff\xfe\0"),
    "too deep": holding(b"[" * 200_000),
    "another type": holding(b"[]"),
    "no keys": holding(b"{}"),
    "no result": holding(b'{"key": "search-0", "settings": "x", "result": []}'),
}


@pytest.mark.parametrize("write", JSON.values(), ids=JSON)
def test_results(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "result.json"
    write(path)
    with at_once():
        assert RunFolder.at(tmp_path).result(Identity("search-0", "{}")) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path} ")


LEDGERS = {
    **{name: write for name, write in JSON.items() if name not in ("no keys", "no result")},
    "counts that are none": holding(b'{"issued": {"search-0": "3"}}'),
    "negative counts": holding(b'{"lost": {"search-0": -1}}'),
    "a number that is none": holding(b'{"seen": "x"}'),
    "results that are none": holding(b'{"results": {"search-0": 3}}'),
}


@pytest.mark.parametrize("write", LEDGERS.values(), ids=LEDGERS)
def test_ledgers(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nni_darts.json"
    write(path)
    with at_once():
        assert ledger.read_ledger(path) == ledger.Ledger()
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line


@pytest.mark.parametrize(
    "write", [os.mkfifo, folder, looped, *map(holding, (b"[]", b"{", b"\xff"))]
)
def test_the_list_of_experiments(
    write: Write, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "nni-experiments").mkdir()
    path = home / "nni-experiments/.experiment"
    write(path)
    with at_once():
        assert main(["export"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line or write is looped


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "abc", "startTime": float("nan")},
        {"id": "abc", "startTime": "now"},
        {"id": 3},
        {"id": "abc", "logDir": "a\0b"},
        {"id": "abc", "logDir": "/dev/null"},
        [],
    ],
)
def test_entries_of_experiments(entry: Any, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "nni-experiments").mkdir()
    (home / "nni-experiments/.experiment").write_text(json.dumps({"abc": entry}))
    with at_once():
        assert main(["export", "abc"]) == 2
    assert all(line.isprintable() for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize("write", [os.mkfifo, folder, link_to("/dev/zero"), holding(b"x" * 5000)])
def test_databases(write: Write, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = store(home, "abc", [searched(0, (-1.0, A))]).database
    path.unlink()
    write(path)
    for command in ("export", "report"):
        with at_once():
            assert main([command, "abc"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot read experiment abc" in line


@pytest.mark.parametrize(
    "change",
    [
        "update TrialJobEvent set timestamp = null",
        "update TrialJobEvent set timestamp = 'x', trialJobId = null",
        "update TrialJobEvent set event = x'ff00'",
        "update MetricData set timestamp = null",
        "update MetricData set data = x'ff00'",
        "update ExperimentProfile set params = x'ff00'",
        "update ExperimentProfile set params = '[1]'",
        "drop table MetricData",
    ],
)
def test_rows_of_databases(change: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = store(home, "abc", [searched(0, (-1.0, A))])
    with closing(sqlite3.connect(experiment.database)) as connection:
        connection.execute(change)
        connection.commit()
    with at_once():
        assert main(["export", "abc"]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


# Checkpoints


class Evil:
    """What runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The content of a checkpoint that is right."""
    network = DartsNetwork(
        published.get("DARTS_V2"),
        channels=4,
        num_cells=3,
        num_classes=10,
        auxiliary=False,
        in_channels=1,
    )
    training = json.dumps({"settings": {"epochs": 1}})
    return {
        checkpoint.KEY: checkpoint.describe(network, {"image_size": 8}, training),
        "state_dict": {f"network.{name}": v for name, v in network.state_dict().items()},
    }


Change = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Any]
"""Of the content, what it says of its network, and the network's arguments."""

CHANGES: dict[str, Change] = {
    "no description": lambda values, said, network: values.pop(checkpoint.KEY),
    "no weights": lambda values, said, network: values.pop("state_dict"),
    "weights of no type": lambda values, said, network: values.update(state_dict=3),
    "a newer format": lambda values, said, network: said.update(version=99),
    "a format that is a truth": lambda values, said, network: said.update(version=True),
    "no genotype": lambda values, said, network: said.pop("genotype"),
    "a genotype that is code": lambda values, said, network: said.update(genotype="exit()"),
    "an input of no type": lambda values, said, network: said.update(input=[]),
    "an image of no size": lambda values, said, network: said["input"].update(image_size=-1),
    "a mean that is none": lambda values, said, network: said["input"].update(mean=[float("nan")]),
    "a foreign argument": lambda values, said, network: network.update(x=1),
    "no channels": lambda values, said, network: network.pop("channels"),
    "negative channels": lambda values, said, network: network.update(channels=-4),
    "other channels": lambda values, said, network: network.update(channels=8),
    "endless channels": lambda values, said, network: network.update(channels=10**9),
    "endless cells": lambda values, said, network: network.update(num_cells=10**9),
    "endless classes": lambda values, said, network: network.update(num_classes=10**10),
    "endless inputs": lambda values, said, network: network.update(in_channels=10**10),
    "an unknown stem": lambda values, said, network: network.update(stem="x"),
}


def broken(name: str, make: Callable[[torch.Tensor], Any]) -> Change:
    def change(values: dict[str, Any], said: dict[str, Any], network: dict[str, Any]) -> None:
        weights = values["state_dict"]
        weights[f"network.{name}"] = make(weights[f"network.{name}"])

    return change


WEIGHT = "classifier.weight"
CHANGES |= {
    "a weight that is none": broken(WEIGHT, lambda w: 3),
    "a weight of another shape": broken(WEIGHT, lambda w: w[:, 1:]),
    "weights that are not finite": broken(WEIGHT, lambda w: w * float("nan")),
    "infinite weights": broken(WEIGHT, lambda w: w / 0),
    "complex weights": broken(WEIGHT, lambda w: w * 1j),
    "sparse weights": broken(WEIGHT, lambda w: w.to_sparse()),
    "weights without numbers": broken(WEIGHT, lambda w: w.to("meta")),
    "one number for many": broken(WEIGHT, lambda w: w[:1, :1].expand(10**5, 10**5)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_checkpoints_of_another_content(
    change: Change, whole: dict[str, Any], tmp_path: Path
) -> None:
    values = {**whole, "state_dict": dict(whole["state_dict"])}
    values[checkpoint.KEY] = said = json.loads(json.dumps(values[checkpoint.KEY]))
    change(values, said, said["network"])
    path = tmp_path / "best.ckpt"
    torch.save(values, path)
    refused(checkpoint.CheckpointError, path, lambda: checkpoint.load(path))


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("best/data.pkl", pickle.dumps({}, 2))
        archive.writestr("best/data/0", bytes(10**8))


def pretending(path: Path) -> None:
    """An archive that says to hold 2 GB, which its bytes would have to be used twice for."""
    torch.save({"state_dict": {}}, path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<II", content, content.index(b"PK\1\2") + 20, 2**31, 2**31)
    path.write_bytes(content)


def evil(path: Path) -> None:
    torch.save({"state_dict": {}, checkpoint.KEY: Evil(path.with_name("ran"))}, path)


def bare(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil(path.with_name("ran"))))


CHECKPOINTS = {
    **NO_FILES,
    "nothing": holding(b""),
    "random bytes": holding(np.random.RandomState(0).bytes(10_000)),
    "an archive of nothing": lambda path: zipfile.ZipFile(path, "w").close(),
    "an archive that unpacks to more": compressed,
    "an archive that says to hold more": pretending,
    "code": evil,
    "code without an archive": bare,
    "a list": lambda path: torch.save([1], path),
    "a tensor": lambda path: torch.save(torch.zeros(2), path),
    "an older form of torch's": lambda path: torch.save(
        {}, path, _use_new_zipfile_serialization=False
    ),
}


@pytest.mark.parametrize("write", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_checkpoints(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "best.ckpt"
    write(path)
    refused(checkpoint.CheckpointError, path, lambda: checkpoint.load(path))
    assert main(["evaluate", str(path), "--data", "digits"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("training", ["[" * 100_000, "{}", '{"settings": {"epochs": 1e999}}', ""])
def test_a_training_that_says_nothing_of_itself(
    training: str, whole: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {**whole[checkpoint.KEY], "training": training}
    path = tmp_path / "best.ckpt"
    torch.save({**whole, checkpoint.KEY: said}, path)
    os.mkfifo(tmp_path / "history.csv")
    with at_once():
        assert main(["evaluate", str(path), "--data", "digits"]) == 0
    assert capsys.readouterr().err == ""


IDENTITY = Identity("search-0", json.dumps({"seed": 0, "settings": {}}))
SIGNED = {SIGNATURE: {"key": IDENTITY.key, "what": IDENTITY.what, "history": ""}}
STATE: dict[str, Any] = {"optimizer_states": [], "loops": {}, "callbacks": {}, "epoch": 0}


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"state_dict": 3},
        {**SIGNED, "state_dict": {}},
        *({**SIGNED, "state_dict": {}, **STATE, name: "x"} for name in STATE),
    ],
)
def test_what_no_training_can_go_on_from(
    content: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "last.ckpt"
    if content is None:
        path.write_bytes(b"PK")
    else:
        torch.save(content, path)
    with at_once():
        assert go_on(RunFolder.at(tmp_path), IDENTITY) == {}
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path} ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt.damaged"]


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt", "previous.ckpt"])
@pytest.mark.parametrize("write", [os.mkfifo, link_to("/dev/zero"), folder, evil])
def test_what_a_training_must_not_go_on_from(name: str, write: Write, tmp_path: Path) -> None:
    write(tmp_path / name)
    refused(
        checkpoint.CheckpointError, tmp_path / name, lambda: go_on(RunFolder.at(tmp_path), IDENTITY)
    )
    assert not (tmp_path / "ran").exists()


def test_a_signature_of_another_kind(tmp_path: Path, message: Callable[..., str]) -> None:
    for signature in (3, {"what": 3}, {"what": "[" * 100_000}, {**SIGNED[SIGNATURE], "history": 3}):
        torch.save({SIGNATURE: signature, "state_dict": {}, **STATE}, tmp_path / "last.ckpt")
        text = message(ValueError, go_on, RunFolder.at(tmp_path), IDENTITY)
        assert str(tmp_path) in text


# Texts

WORDS = b"a b c d e f\n" * 400
PARTS = ("train", "valid", "test")


def texts(root: Path) -> TextTrainingData:
    """The data of a training; prepared, set up and ready for a test, as far as that goes."""
    data = TextTrainingData("ptb", root=root, batch_size=2, bptt=5, run_seed=0)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    return data


def test_texts_that_are_right(tmp_path: Path) -> None:
    for part in PARTS:
        (tmp_path / f"{part}.txt").write_bytes(WORDS)
    texts(tmp_path)


TEXTS = {
    **NO_FILES,
    "nothing": holding(b""),
    "another encoding": holding(WORDS.decode().encode("utf-16")),
    "no text": holding(bytes(range(256)) * 10),
    "one word": holding(b"a"),
    "a long word": holding(b"a" * 1_000_000),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("write", TEXTS.values(), ids=TEXTS)
def test_texts(write: Write, part: str, tmp_path: Path) -> None:
    for other in PARTS:
        if other != part:
            (tmp_path / f"{other}.txt").write_bytes(WORDS)
    write(tmp_path / f"{part}.txt")
    missing = write in NO_FILES.values()
    path = tmp_path / f"{part}.txt"
    refused(ValueError, f"{part}.txt" if missing else path, lambda: texts(tmp_path))


@pytest.mark.parametrize("name", ["null\0byte", "x" * 300, "a/" * 3000, "file", "pipe", "loop"])
def test_places_of_texts(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    os.mkfifo(tmp_path / "pipe")
    looped(tmp_path / "loop")
    with at_once(), pytest.raises((ValueError, OSError)) as caught:
        texts(tmp_path / name)
    assert printable(name)[:10] in str(caught.value)
    assert "\n" not in str(caught.value)


def zip_of(
    *members: tuple[str, bytes], packing: int = zipfile.ZIP_DEFLATED, change: Any = None
) -> Write:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", packing) as archive:
            for name, content in members:
                archive.writestr(name, content)
        content = bytearray(path.read_bytes())
        if change is not None:
            change(content)
        path.write_bytes(content)

    return write


def tar_of(mode: str, *members: tuple[str, bytes], change: Any = None, **fields: Any) -> Write:
    def write(path: Path) -> None:
        with tarfile.open(path, mode) as archive:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = 0 if fields else len(content)
                for field, value in fields.items():
                    setattr(member, field, value)
                archive.addfile(member, io.BytesIO(content))
        content = bytearray(path.read_bytes())
        if change is not None:
            change(content)
        path.write_bytes(content)

    return write


def header(offset: int, value: int) -> Callable[[bytearray], None]:
    """Sets a field of two bytes in all headers of a zip file: by its place in the local ones."""

    def change(content: bytearray) -> None:
        for mark, shift in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
            at = content.find(mark)
            while at >= 0:
                struct.pack_into("<H", content, at + offset + shift, value)
                at = content.find(mark, at + 4)

    return change


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def spoilt(content: bytearray) -> None:
    middle = len(content) // 3
    content[middle : middle + 20] = b"\xa5" * 20


NOISE = np.random.RandomState(0).choice(list(b"abcdefgh \n"), 40_000).astype(np.uint8).tobytes()
ALL = [(f"deep/{part}.txt", NOISE) for part in PARTS]
ZEROS = bytes(50_000_000)
BOMB = [("train.txt", ZEROS), *ALL[1:]]
TARS = ("w:gz", "w:bz2", "w:xz", "w:")

ARCHIVES: dict[str, Write] = {
    "nothing": holding(b""),
    "random bytes": holding(np.random.RandomState(0).bytes(5000)),
    "the beginning of a zip file": holding(b"PK\3\4" + b"\0" * 100),
    "the end of a zip file": holding(b"PK\5\6" + b"\xff" * 18),
    "the beginning of a gzip file": holding(b"\x1f\x8b\x08" + b"\0" * 100),
    "gzip of no archive": holding(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + zlib.compress(b"x" * 1000)),
    "xz of no archive": holding(lzma.compress(b"x" * 1000)),
    "bz2 of no archive": holding(bz2.compress(b"x" * 1000)),
    "no members": zip_of(),
    "one part is missing": zip_of(*ALL[1:]),
    "folders in the place of texts": zip_of(*((f"{part}.txt/", b"") for part in PARTS)),
    "encrypted": zip_of(*ALL, change=header(6, 1)),
    "packed in an unknown way": zip_of(*ALL, change=header(8, 77)),
    "cut off": zip_of(*ALL, change=cut),
    "spoilt": zip_of(*ALL, change=spoilt),
    "spoilt, xz inside": zip_of(*ALL, packing=zipfile.ZIP_LZMA, change=spoilt),
    "spoilt, not packed": zip_of(*ALL, packing=zipfile.ZIP_STORED, change=spoilt),
    "unpacks to too much": zip_of(*BOMB),
    **{f"a tar file cut off, {mode}": tar_of(mode, *ALL, change=cut) for mode in TARS[:3]},
    **{f"a tar file spoilt, {mode}": tar_of(mode, *ALL, change=spoilt) for mode in TARS[:3]},
    **{f"a tar file of too much, {mode}": tar_of(mode, *BOMB) for mode in TARS[:2]},
    "links": tar_of("w:gz", *ALL, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard links": tar_of("w:gz", *ALL, type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "pipes": tar_of("w:gz", *ALL, type=tarfile.FIFOTYPE),
    "devices": tar_of("w:gz", *ALL, type=tarfile.CHRTYPE, devmajor=1, devminor=5),
}


@pytest.mark.parametrize("write", ARCHIVES.values(), ids=ARCHIVES)
def test_archives(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "ptb.zip"
    write(path)
    refused(ValueError, path, lambda: texts(path))


@pytest.mark.parametrize(
    "name", ["../{}.txt", "/{}.txt", "a/../../{}.txt", "..\\..\\{}.txt/{}.txt"]
)
@pytest.mark.parametrize("write", [zip_of, lambda *members: tar_of("w:gz", *members)])
def test_members_elsewhere_are_written_nowhere(name: str, write: Any, tmp_path: Path) -> None:
    path = tmp_path / "root/deep/ptb.zip"
    path.parent.mkdir(parents=True)
    write(*((name.format(part, part), WORDS) for part in PARTS))(path)
    before = sorted(tmp_path.rglob("*"))
    with at_once():
        texts(path)
    assert sorted(tmp_path.rglob("*")) == before


# Images

PIXELS = np.random.RandomState(0).randint(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two classes with two images each."""
    root = tmp_path / "images"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(PIXELS).save(root / name / f"{number}.png")
    return root


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def png(width: int, height: int, *, text: bytes = b"") -> bytes:
    """Of one colour, with no more than its first rows."""
    rows = zlib.compress(bytes(1000))
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    more = chunk(b"zTXt", text) if text else b""
    parts = chunk(b"IHDR", head) + more + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def saved(format: str, mode: str = "RGB", end: int | None = None) -> Write:
    def write(path: Path) -> None:
        buffer = io.BytesIO()
        Image.fromarray(PIXELS).convert(mode).save(buffer, format)
        path.write_bytes(buffer.getvalue()[:end])

    return write


IMAGES = {
    **{name: write for name, write in NO_FILES.items() if name != "a folder"},
    "nothing": holding(b""),
    "random bytes": holding(np.random.RandomState(0).bytes(5000)),
    "text": holding(b"<svg/>"),
    "half a PNG": saved("PNG", end=150),
    "half a JPEG": saved("JPEG", end=400),
    "half a TIFF": saved("TIFF", end=100),
    "half a WebP": saved("WEBP", end=60),
    "half a BMP": saved("BMP", end=100),
    "no known range": lambda path: Image.fromarray(np.ones((4, 4), np.float32)).save(path, "TIFF"),
    "more pixels than Pillow takes": holding(png(60_000, 60_000)),
    "more pixels than Pillow warns of": holding(png(12_000, 12_000)),
    "more pixels than we take": holding(png(9_400, 9_400)),
    "sizes without bounds": holding(png(2**31 - 1, 2**31 - 1)),
    "no pixels": holding(png(0, 0)),
    "a text that unpacks to too much": holding(
        png(8, 8, text=b"x\0\0" + zlib.compress(bytes(100_000_000), 1))
    ),
}


@pytest.mark.parametrize("write", IMAGES.values(), ids=IMAGES)
def test_images(write: Write, images: Path) -> None:
    path = images / "dog/0.png"
    path.unlink()
    write(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (BilevelData, TrainingData):
            data = kind("image_folder", root=images, batch_size=1)
            refused(ValueError, path, data.prepare_data)


def test_names_that_are_no_text(images: Path, message: Callable[..., str]) -> None:
    for name in ("new\nline.png", "\x1b[2J.png", "\u202e.png", os.fsdecode(b"\xff.png")):
        (images / "dog" / name).write_bytes(b"x")
    text = message(ValueError, BilevelData("image_folder", root=images).prepare_data)
    assert text.isprintable()
    assert r"new\nline.png" in text


def emptied(root: Path) -> None:
    for path in (root / "dog").iterdir():
        path.unlink()


def one_class(root: Path) -> None:
    shutil.rmtree(root / "dog")


def one_image(root: Path) -> None:
    (root / "dog/0.png").unlink()


def no_images(root: Path) -> None:
    for path in list((root / "dog").iterdir()):
        path.rename(path.with_suffix(".txt"))


def hidden(root: Path) -> None:
    (root / "dog").rename(root / ".dog")


def no_folder(root: Path) -> None:
    shutil.rmtree(root / "dog")
    (root / "dog").write_text("")


FOLDERS = {
    "one class": (one_class, "cat"),
    "an empty class": (emptied, "dog"),
    "one image": (one_image, "dog"),
    "no images": (no_images, "dog"),
    "a hidden class": (hidden, "cat"),
    "a file for a class": (no_folder, "cat"),
}


@pytest.mark.parametrize(("change", "named"), FOLDERS.values(), ids=FOLDERS)
def test_folders_of_images(change: Write, named: str, images: Path) -> None:
    change(images)
    data = BilevelData("image_folder", root=images)
    assert named in refused(ValueError, images, data.prepare_data)


@pytest.mark.parametrize("name", ["null\0byte", "x" * 300, "a/" * 3000, "loop", "pipe"])
def test_places_of_images(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    looped(tmp_path / "loop")
    with at_once(), pytest.raises((ValueError, OSError)) as caught:
        BilevelData("image_folder", root=tmp_path / name).prepare_data()
    assert printable(name)[:10] in str(caught.value)


def test_folders_that_nobody_may_list(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() == 0:
        pytest.skip("rights do not bind root")
    (images / "dog").chmod(0)
    with suppress(FileNotFoundError):
        refused(ValueError, images, BilevelData("image_folder", root=images).prepare_data)
    (images / "dog").chmod(0o700)


# Data sets that are downloaded

FASHION = [
    f"FashionMNIST/raw/{part}-{what}-ubyte"
    for part in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: Any, **kwargs: Any) -> None:
        raise OSError("there is no network here")

    for module in (torchvision.datasets.cifar, torchvision.datasets.mnist):
        monkeypatch.setattr(module, "download_and_extract_archive", download)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_pickles_of_images_run_nothing(name: str, tmp_path: Path) -> None:
    folder = tmp_path / {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[name]
    folder.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "train", "test", "meta"]
    for file in names:
        (folder / file).write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with at_once(), pytest.raises(ValueError, match="no complete CIFAR") as caught:
        TrainingData(name, root=tmp_path).prepare_data()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


IDX = {
    "nothing": b"",
    "random bytes": np.random.RandomState(0).bytes(1000),
    "another type": struct.pack(">BBBBI", 0, 0, 13, 1, 10) + bytes(40),
    "less than it says": struct.pack(">BBBBIII", 0, 0, 8, 3, 60_000, 28, 28) + bytes(100),
    "sizes without bounds": struct.pack(">BBBBIII", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(100),
}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("content", IDX.values(), ids=IDX)
def test_images_that_are_no_images(content: bytes, tmp_path: Path) -> None:
    for name in FASHION:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    data = TrainingData("fashion_mnist", root=tmp_path)
    for call in (data.prepare_data, lambda: data.setup("fit"), lambda: data.setup("test")):
        with at_once(), pytest.raises(ValueError, match="FashionMNIST") as caught:
            call()
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


# The bounds themselves


def test_a_file_larger_than_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    with path.open("wb") as file:
        file.truncate(limits.JSON_SIZE + 1)  # of no bytes on the disk
    for read in (
        lambda: csv_file.read(path),
        lambda: published.from_argument(str(path)),
        lambda: files.read_regular(path, 1000),
    ):
        with at_once(), pytest.raises(ValueError, match=r"larger|at most"):
            read()


def test_homes_that_are_not_there(message: Callable[..., str]) -> None:
    text = message(ValueError, files.at_home, "~nobody-of-this-name/x")
    assert text.startswith("'~nobody-of-this-name/x' begins with a home folder, and there is none")
