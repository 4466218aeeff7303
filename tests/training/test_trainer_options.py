from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from run_folders import IDENTITY, OTHER

from nni_darts._common.validation import SettingsError
from nni_darts.history.record import HISTORY
from nni_darts.training import trainer_options
from nni_darts.training.identity import Identity
from nni_darts.training.run_folder import BEST, LAST, PREVIOUS, RunFolder
from nni_darts.training.trainer_options import (
    SIGNATURE,
    Checkpoints,
    OwnSignals,
    Signed,
    go_on,
)


def checkpoint(run: RunFolder, name: str, identity: Identity, history: str) -> None:
    """A checkpoint of a training in the folder, as Lightning's has it."""
    signature = {"key": identity.key, "what": identity.what, "history": history}
    state = {"optimizer_states": [], "loops": {}, "callbacks": {}, "epoch": 0}
    content = {SIGNATURE: signature, "state_dict": {}, **state}
    run.make()
    run.store.replace(name, b"")
    with fsspec.open(run.address(name), "wb") as file:
        torch.save(content, file)


def test_it_goes_on_from_its_last_checkpoint(run: RunFolder, message: Any) -> None:
    checkpoint(run, LAST, IDENTITY, "default,epoch\n0.5,0\n")
    assert go_on(run, IDENTITY) == {"ckpt_path": run.address(LAST), "weights_only": True}
    assert run.epochs_done() == 1
    text = message(SettingsError, go_on, run, OTHER)
    assert text.startswith(f"{run.address(LAST)} is of another run (seed is 0 there and 1 here)")
    # The one before is for a damaged one; without the best weights it does not go on at all.
    run.replace(LAST, "PK")
    checkpoint(run, PREVIOUS, IDENTITY, "default,epoch\n")
    assert go_on(run, IDENTITY)["ckpt_path"] == run.address(PREVIOUS)
    assert f"{LAST}.damaged" in run.store.names()
    assert run.epochs_done() == 0
    assert not run.exists(BEST)
    assert go_on(run, IDENTITY, validates=True) == {}


def test_it_goes_on_where_the_best_weights_are_there_too(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(run, LAST, IDENTITY, "default,epoch\n")
    checkpoint(run, BEST, IDENTITY, "")
    assert go_on(run, IDENTITY, validates=True)["ckpt_path"] == run.address(LAST)
    assert capsys.readouterr().out == ""
    run.store.rename(BEST, "elsewhere")
    assert go_on(run, IDENTITY, validates=True) == {}
    assert capsys.readouterr().out == (
        f"{run.address(BEST)} is lost: without {BEST} the run starts afresh\n"
    )


def test_every_checkpoint_says_whose_it_is_and_what_was_reported(run: RunFolder) -> None:
    signed, content = Signed(run, IDENTITY), dict[str, Any]()
    signed.on_save_checkpoint(None, None, content)  # type: ignore[arg-type]
    assert content[SIGNATURE] == {"key": IDENTITY.key, "what": IDENTITY.what, "history": ""}
    run.make()
    run.replace(HISTORY, "default,epoch\n0.5,0\n")
    signed.on_save_checkpoint(None, None, content)  # type: ignore[arg-type]
    assert content[SIGNATURE]["history"] == "default,epoch\n0.5,0\n"


def test_the_devices_of_a_trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        trainer_options, "lightning_precision", lambda precision, device: f"{precision} {device}"
    )
    made = {}
    for devices in (["cpu"], ["cuda:3", "cuda:1"]):
        options = trainer_options.trainer_options(
            5, "tf32", tmp_path, [torch.device(device) for device in devices], False
        )
        made[devices[0]] = [options[key] for key in ("accelerator", "devices", "precision")]
        assert options["max_epochs"] == 5
    assert made == {"cpu": ["cpu", 1, "tf32 cpu"], "cuda:3": ["gpu", [3, 1], "tf32 cuda:3"]}


def test_checkpoints_are_known_as_lightnings_own(tmp_path: Path) -> None:
    ours, theirs = (kind(tmp_path, monitor="val_acc") for kind in (Checkpoints, ModelCheckpoint))
    assert ours.state_key == theirs.state_key
    assert "val_acc" in ours.state_key


@pytest.fixture
def terminated() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def ours(number: int, frame: Any) -> None:
    """A handler of ours."""


def lightnings(number: int, frame: Any) -> None:
    """A handler of Lightning's."""


@pytest.mark.usefixtures("terminated")
def test_the_signal_that_ends_a_trial_has_its_former_handler() -> None:
    signal.signal(signal.SIGTERM, ours)
    callback = OwnSignals()
    signal.signal(signal.SIGTERM, lightnings)
    start = partial(callback.on_train_start, None, None)  # type: ignore[arg-type]
    # Only the main thread may set it.
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is lightnings
    start()
    assert signal.getsignal(signal.SIGTERM) is ours


@pytest.mark.usefixtures("terminated")
def test_where_there_was_no_handler_lightnings_stays() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    callback = OwnSignals()
    signal.signal(signal.SIGTERM, lightnings)
    callback.on_train_start(None, None)  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGTERM) is lightnings
