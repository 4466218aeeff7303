from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nni_darts.tasks.language.sources import PARTS, TEXTS, TextSource
from nni_darts.tasks.language.vocabulary import TextError
from nni_darts.tasks.missing_data import MissingDataError
from nni_darts.tasks.registry import TEXT


def test_the_settings_know_the_same_texts() -> None:
    assert tuple(TEXTS) == TEXT.data


def test_the_text_that_ships() -> None:
    source = TextSource("alice", None)
    sizes = [len(source.read(part).split()) for part in PARTS]
    assert sizes == [26300, 2213, 2465]
    train = source.read("train").split()
    assert set(source.read("valid").split()) | set(source.read("test").split()) <= set(train)


def fill(folder: Path, pattern: str) -> Path:
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        (folder / pattern.format(part)).write_text(f"{part} é\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("text", "{}.txt"),
        ("ptb", "ptb.{}.txt"),
        ("ptb", "{}.txt"),
        ("wikitext2", "wiki.{}.tokens"),
        ("wikitext2", "{}.txt"),
    ],
)
def test_a_folder(name: str, pattern: str, tmp_path: Path) -> None:
    source = TextSource(name, fill(tmp_path, pattern))
    assert [source.read(part) for part in PARTS] == [f"{part} é\n" for part in PARTS]
    assert source.where("valid") == str(tmp_path / pattern.format("valid"))


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("name", "archive", "pattern"),
    [
        ("ptb", "ptb.zip", "ptb.{}.txt"),
        ("ptb", "simple-examples.tgz", "ptb.{}.txt"),
        ("wikitext2", "wikitext-2-v1.zip", "wiki.{}.tokens"),
        ("wikitext2", "wikitext-2.tar.xz", "{}.txt"),
    ],
)
def test_an_archive(name: str, archive: str, pattern: str, inside: bool, tmp_path: Path) -> None:
    files = fill(tmp_path / "files", pattern)
    path = tmp_path / archive
    if archive.endswith("zip"):
        with zipfile.ZipFile(path, "w") as out:
            for part in PARTS:
                # What macOS adds has the name of a part, but for the beginning.
                out.writestr(f"__MACOSX/._{pattern.format(part)}", b"\xff\xfe")
                out.write(files / pattern.format(part), f"deep/{pattern.format(part)}")
    else:
        with tarfile.open(path, "w:xz" if archive.endswith("xz") else "w:gz") as tar:
            tar.add(files, "deep/data")
    source = TextSource(name, tmp_path if inside else path)
    assert source.read("test") == "test é\n"
    assert str(path) in source.where("test")


def test_what_is_missing_is_named(tmp_path: Path, message: Callable[..., str]) -> None:
    text = message(MissingDataError, TextSource("ptb", tmp_path).check, "valid")
    assert f"ptb has no ptb.valid.txt or valid.txt at {tmp_path}" in text
    assert "ptb.zip" in text
    text = message(MissingDataError, TextSource("text", tmp_path / "no").check, "train")
    assert "train.txt" in text


@pytest.mark.parametrize(
    ("name", "root", "expected"),
    [
        ("ptp", None, "did you mean 'ptb'?"),
        ("ptb", None, "ptb needs root: the folder of ptb.train.txt"),
        ("alice", "x", "leave root out"),
    ],
)
def test_bad_arguments(
    name: str, root: str | None, expected: str, message: Callable[..., str]
) -> None:
    assert expected in message(ValueError, TextSource, name, root)


def test_no_text(tmp_path: Path, message: Callable[..., str]) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    assert "must be a text in UTF-8" in message(
        TextError, TextSource("text", tmp_path).read, "train"
    )
    (tmp_path / "ptb.zip").write_bytes(b"PK no archive")
    text = message(TextError, TextSource("ptb", tmp_path / "ptb.zip").check, "train")
    assert "must be a folder, or a zip or tar archive" in text
