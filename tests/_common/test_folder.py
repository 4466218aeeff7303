from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest

from nni_darts._common import folder
from nni_darts._common.files import DamagedError
from nni_darts._common.folder import LocalFolder


def test_an_address_leads_to_a_folder_that_need_not_exist(tmp_path: Path) -> None:
    place = folder.at(tmp_path / "a" / "b")
    assert (place.address(), place.address("c")) == (f"{tmp_path}/a/b", f"{tmp_path}/a/b/c")
    assert place.names() == []
    assert not place.exists("c")
    assert place.unwritable() is None
    place.make()
    place.make()
    assert (tmp_path / "a" / "b").is_dir()


def test_files_are_replaced_kept_and_renamed(tmp_path: Path) -> None:
    place = LocalFolder(tmp_path)
    place.replace("b", b"one")
    place.replace("b", b"two", keep="a")
    assert place.names() == ["a", "b"]
    place.rename("b", "a")
    assert place.names() == ["a"]
    with place.open("a") as file:
        assert file.read() == b"two"


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    place = LocalFolder(tmp_path)
    for left in ("a[1].7.new", "a1.7.new", "other.7.new"):
        (tmp_path / left).touch()
    # The brackets of a name are no pattern.
    place.replace("a[1]", b"")
    assert place.names() == ["a1.7.new", "a[1]", "other.7.new"]


def test_only_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(DamagedError, match="is a folder"):
        LocalFolder(tmp_path).open("inner")
    with pytest.raises(FileNotFoundError):
        LocalFolder(tmp_path).open("none")


def test_a_file_in_its_place_takes_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = LocalFolder(tmp_path / "file")
    assert place.unwritable() == f"{tmp_path / 'file'} is not a folder"
    assert place.names() == []


def test_one_at_a_time_is_alone_and_a_failure_lets_the_next_one_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with suppress(ZeroDivisionError), LocalFolder(tmp_path).locked("lock"):
            inside.set()
            leave.wait(10)
            raise ZeroDivisionError

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    # Another name is another lock.
    with LocalFolder(tmp_path).locked("other"):
        pass
    assert capsys.readouterr().out == ""
    threading.Timer(0.2, leave.set).start()
    with LocalFolder(tmp_path).locked("lock"):
        assert leave.is_set()
    thread.join(10)
    assert capsys.readouterr().out == f"waiting for another process to leave {tmp_path}\n"
