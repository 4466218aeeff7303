from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from nni_darts._common import files


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    files.write(path, "one")
    files.write(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    # It is on the disk before it takes the place of the one before.
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, "three")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_could_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: Any
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    text = message(OSError, files.write, tmp_path / "a", "one")
    assert text == f"[Errno 28] No space left on device: '{tmp_path / 'a'}'"
    assert list(tmp_path.iterdir()) == []


def test_the_file_before_is_kept(tmp_path: Path) -> None:
    for content in (b"1", b"2", b"3"):
        files.write_bytes(tmp_path / "a", content, keep="b")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"3", "b": b"2"}


def test_home_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.at_home("~/a") == tmp_path / "a"
    text = message(ValueError, files.at_home, "~nobody-has-this-name/a")
    assert text.startswith("'~nobody-has-this-name/a' begins with a home folder, and there is none")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"NaN", b"[" * 100_000])
def test_damaged_json(content: bytes, tmp_path: Path, message: Any) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert message(files.DamagedError, files.read_json, path, dict).startswith("is damaged: it ")


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.unwritable(tmp_path / "new" / "deep") is None
    (tmp_path / "file").write_text("")
    assert files.unwritable(tmp_path / "file" / "x") == f"{tmp_path / 'file'} is not a folder"
    monkeypatch.setattr("os.access", lambda *args: False)
    assert "nothing can be written to" in str(files.unwritable(tmp_path / "new"))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer for ever
    for name, what in (("pipe", "not a regular file"), (".", "a folder")):
        with pytest.raises(files.DamagedError, match=f"is {what}"):
            files.read_regular(tmp_path / name, 10)
    with pytest.raises(files.DamagedError, match="not a regular file"):
        files.read_json(Path("/dev/zero"), dict)
    with pytest.raises(OSError, match="No such file"):
        files.read_regular(tmp_path / "null\0byte", 10)
    (tmp_path / "long").write_bytes(b"x" * 11)
    with pytest.raises(files.DamagedError, match="larger than the 10 bytes"):
        files.read_regular(tmp_path / "long", 10)
    assert files.read_regular(tmp_path / "long", 11) == b"x" * 11
