from __future__ import annotations

from typing import Any

import fsspec
import torch
from run_folders import IDENTITY, OTHER

from nni_darts._common.validation import SettingsError
from nni_darts.training.identity import Identity
from nni_darts.training.run_folder import BEST, LAST, PREVIOUS, RunFolder
from nni_darts.training.trainer_options import SIGNATURE, go_on


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
