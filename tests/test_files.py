from __future__ import annotations

from pathlib import Path

import pytest

from nni_darts import files


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    files.write(path, "one")
    files.write(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]

    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, "three")
    assert path.read_text() == "two"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.unwritable(tmp_path / "new" / "deep") is None
    (tmp_path / "file").write_text("")
    assert files.unwritable(tmp_path / "file" / "x") == f"{tmp_path / 'file'} is not a folder"
    monkeypatch.setattr("os.access", lambda *args: False)
    assert "nothing can be written to" in str(files.unwritable(tmp_path / "new"))
