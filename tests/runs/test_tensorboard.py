from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from choice_histories import choice_reports
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nni_darts._common.metric import ACCURACY
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.history.flat import from_flat, to_flat
from nni_darts.history.record import EpochRecord
from nni_darts.runs import tensorboard
from nni_darts.runs.tensorboard import Events, show_in_nni


def record(epoch: int, **metrics: float) -> EpochRecord:
    weights = dict.fromkeys(PRIMITIVES, 0.125)
    labels = {f"{kind}_2_{i}": weights for kind in ("normal", "reduce") for i in (0, 1)}
    metrics = {"val_acc": 0.5, "val_loss": 1.0, **metrics}
    made = EpochRecord.of_search(epoch, ACCURACY, metrics, labels)
    return replace(made, metrics={"seed": 3, **made.metrics})


def trained(epoch: int, accuracy: float, **metrics: float) -> EpochRecord:
    return EpochRecord.of_training(epoch, ACCURACY, {"val_acc": accuracy, **metrics})


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_scalars_and_pictures_of_every_epoch(tmp_path: Path) -> None:
    made = Events(tmp_path)
    for epoch in (0, 1):
        made.add(record(epoch, val_loss=1.0 - epoch / 2))
    found = read(tmp_path)
    assert set(found.Tags()["scalars"]) == {"default", "val_loss", "entropy"}
    assert [(e.step, e.value) for e in found.Scalars("val_loss")] == [(0, 1.0), (1, 0.5)]
    for name in ("alphas", "cells"):
        assert [image.step for image in found.Images(name)] == [0, 1]
        assert found.Images(name)[0].width > 100


def test_choices_are_a_picture_of_their_own(tmp_path: Path) -> None:
    choices = choice_reports(2)
    made = Events(tmp_path / "choices")
    for row in choices:
        made.add(from_flat(row))
    found = read(tmp_path / "choices")
    assert set(found.Tags()["images"]) == {"choices"}
    first, second = found.Images("choices")
    assert (first.step, second.step) == (0, 1)
    assert first.width > 100
    assert first.encoded_image_string != second.encoded_image_string
    Events(tmp_path / "both").add(from_flat({**choices[0], **to_flat(record(0))}))
    assert set(read(tmp_path / "both").Tags()["images"]) == {"alphas", "cells", "choices"}


def test_a_training_has_scalars_only(tmp_path: Path) -> None:
    Events(tmp_path).add(trained(0, 0.5, seed=0, learning_rate=0.1))
    assert read(tmp_path).Tags()["images"] == []


def test_an_epoch_that_is_done_again_replaces_the_one_before(tmp_path: Path) -> None:
    first = Events(tmp_path)
    for epoch in (0, 1, 2):
        first.add(trained(epoch, 0.1))
    again = Events(tmp_path)
    again.add(trained(2, 0.9))
    values = [(e.step, round(e.value, 3)) for e in read(tmp_path).Scalars("default")]
    assert values == [(0, 0.1), (1, 0.1), (2, 0.9)]


def test_a_picture_that_fails_does_not_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tensorboard, "heat_maps", lambda report: 1 / 0)
    made = Events(tmp_path)
    made.add(record(0))
    made.add(record(1))
    assert len(read(tmp_path).Scalars("default")) == 2
    assert capsys.readouterr().out.count("TensorBoard goes without pictures") == 1


FULL = """
import resource, sys, threading
from pathlib import Path
from nni_darts.history.flat import from_flat
from nni_darts.runs.tensorboard import Events
events = Events(Path(sys.argv[1]))
events.add(from_flat({"default": 0.5, "epoch": 0}))
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    events.add(from_flat({"default": 0.5, "epoch": 1}))
except OSError as error:
    print(error)
other = threading.Thread(target=lambda: open("/no/such/file"))
other.start()
other.join()
"""


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FULL, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.stdout == (
        f"[Errno 27] cannot write event files to {tmp_path} (File too large): make room (or put "
        "right what the system says) and run again\n"
    )
    # Other threads say what became of them.
    assert run.stderr.count("Traceback") == 1
    assert run.stderr.endswith("No such file or directory: '/no/such/file'\n")


def test_the_button_of_nni_finds_them(tmp_path: Path) -> None:
    for run in ("search-0", "search-1"):
        show_in_nni(tmp_path / run / "tensorboard", tmp_path, "abcde")
    place = tmp_path / "trials" / "abcde" / "output" / "tensorboard"
    assert place.resolve() == tmp_path / "search-1" / "tensorboard"
    (tmp_path / "search-1" / "tensorboard" / "file").touch()
    assert [path.name for path in place.iterdir()] == ["file"]
