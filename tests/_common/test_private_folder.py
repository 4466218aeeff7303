from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from nni_darts._common import files, private_folder
from nni_darts._common.validation import SettingsError
from nni_darts.cli.main import main
from nni_darts.tasks.images import data_sets, image_check
from nni_darts.training import devices


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folder is to be."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"nni_darts-{os.getuid()}"


def test_it_is_for_the_user_alone(place: Path) -> None:
    assert private_folder.folder() == place
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert private_folder.folder() == place


def test_one_that_others_may_read_is_closed(place: Path) -> None:
    place.mkdir(mode=0o755)
    private_folder.folder()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    lock = target / "a.lock"
    lock.write_text("precious")
    place.symlink_to(target)
    with pytest.raises(SettingsError, match="it is a link; remove it, or set TMPDIR"):
        private_folder.folder()
    gpus = [devices.Gpu(0, "a", 0.0)]
    with pytest.raises(SettingsError), devices.free_devices(1, gpus):
        pass
    assert lock.read_text() == "precious"


def test_what_is_in_its_place_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.touch()
    with pytest.raises(SettingsError, match="it is no folder"):
        private_folder.folder()
    place.unlink()
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(SettingsError, match=r"others may write to it \(777\)"):
        private_folder.folder()
    place.chmod(0o700)
    monkeypatch.setattr(private_folder, "_foreign", lambda found: "it is of the user 4711")
    with pytest.raises(SettingsError, match="it is of the user 4711"):
        private_folder.folder()


def test_a_folder_of_another_user(place: Path) -> None:
    place.mkdir(mode=0o700)
    found = os.stat_result([0o40700, 0, 0, 0, os.getuid() + 1, 0, 0, 0, 0, 0])
    assert private_folder._foreign(found) == f"it is of the user {os.getuid() + 1}"


def test_a_user_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nameless(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("NNI_DARTS_DATA", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nameless)
    assert main(["export"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: NNI's list of experiments: '~/nni-experiments' begins with")
    for name, root in (("cifar10", None), ("image_folder", "~/images")):
        with pytest.raises(ValueError, match="set HOME, or give the whole path"):
            data_sets.check(name, root)
    monkeypatch.setattr(image_check, "checked_folder", lambda: files.at_home("~/checked"))
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    image_check.require_readable([str(tmp_path / "a.png")])


def test_a_user_without_a_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nameless)
    with devices.free_devices(1, [devices.Gpu(0, "a", 0.0)]) as (taken,):
        assert taken.index == 0
