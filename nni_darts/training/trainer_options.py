"""Options of every Lightning trainer here, in the search and from scratch."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from nni_darts._common.validation import SettingsError
from nni_darts.history.record import HISTORY
from nni_darts.training import checkpoint
from nni_darts.training.checkpoint_io import AtomicCheckpointIO
from nni_darts.training.identity import Identity
from nni_darts.training.precision import lightning_precision
from nni_darts.training.run_folder import BEST, LAST, PREVIOUS, RunFolder

SIGNATURE = "nni_darts_run"
"""Key of a checkpoint's signature: its run, and what the run had reported."""


def trainer_options(
    epochs: int, precision: str, output: str | Path, devices: list[torch.device], progress_bar: bool
) -> dict[str, Any]:
    """Arguments for a `Trainer` that is reproducible and writes nothing but its checkpoints.

    Args:
        epochs: epochs of the whole training.
        precision: "tf32", or Lightning's name for it.
        output: an existing folder.
        devices: GPUs, or the CPU alone.
        progress_bar: whether to show one.
    """
    # Same seed, same machine, same outcome, on a GPU too; an operation without a deterministic
    # form warns. Filling new memory with NaN, a help for finding bugs, would only cost time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    gpu = devices[0].type == "cuda"
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": [device.index for device in devices] if gpu else 1,
        "max_epochs": epochs,
        "precision": lightning_precision(precision, devices[0]),
        "deterministic": "warn",
        # One may be damaged by what no care prevents: a disk's fault, a user's mistake.
        "plugins": [AtomicCheckpointIO({LAST: PREVIOUS})],
        "default_root_dir": output,
        "logger": False,
        "enable_progress_bar": progress_bar,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }


class OwnSignals(Callback):
    """Callback that leaves SIGTERM to its former handler.

    Lightning would tell the other processes of a training first, by a broadcast that waits for
    them, and end with a status of success.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if callable(self._handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


class Checkpoints(ModelCheckpoint):
    """Lightning's checkpoint callback, which also finds the best file in a moved folder."""

    @property
    def state_key(self) -> str:
        # As Lightning's own: checkpoints of older versions have it.
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return path and os.path.join(str(self.dirpath), Path(path).name)

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths if name in state_dict}
        models = {here(path): score for path, score in state_dict["best_k_models"].items()}
        ours = {"dirpath": self.dirpath, "best_k_models": models}
        super().load_state_dict({**state_dict, **moved, **ours})


def last_checkpoint(output: str | Path) -> Checkpoints:
    """Callback that writes `LAST` to `output` each epoch, and keeps the one before it."""
    return Checkpoints(
        output, Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
    )


class Signed(pl.Callback):
    """Callback that puts the identity of the run and its history into every checkpoint."""

    def __init__(self, folder: RunFolder, identity: Identity) -> None:
        self.folder = folder
        self.identity = identity

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        has_history = self.folder.exists(HISTORY)
        checkpoint[SIGNATURE] = {
            "key": self.identity.key,
            "what": self.identity.what,
            "history": self.folder.read(HISTORY).decode("utf-8") if has_history else "",
        }


def go_on(
    folder: RunFolder,
    identity: Identity,
    validates: bool = False,
    history: RunFolder | None = None,
) -> dict[str, Any]:
    """Arguments for `fit` from the latest whole checkpoint in a run's folder, if there is one.

    The history of the run becomes what it was then. Damaged files are put aside with a message.

    Args:
        folder: of the run.
        identity: of the run.
        validates: whether it goes on only if the weights that were best so far are there, too.
        history: folder of its history, where that is another one.

    Raises:
        SettingsError: a checkpoint is of another run; nothing was changed.
        CheckpointError: one cannot be read, or needs code to load.
    """
    said: dict[str, dict[str, Any]] = {}
    damaged: dict[str, str] = {}
    for name in (BEST, LAST, PREVIOUS):
        if not folder.exists(name):
            continue
        try:
            content = checkpoint.content(folder.address(name), partial(folder.open, name))
        except checkpoint.DamagedCheckpointError:
            damaged[name] = "is not a complete checkpoint"
            continue
        if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
            damaged[name] = "is no checkpoint of a training"
            continue
        said[name] = _said_in(content)
        identity.require(said[name].get("what"), folder.address(name))
        if name != BEST and not all(isinstance(content.get(k), t) for k, t in _TO_GO_ON.items()):
            del said[name]
            damaged[name] = "holds weights alone, from which no training can go on"
        elif name == LAST:
            break
    start = next((name for name in (LAST, PREVIOUS) if name in said), None)
    then = "the run starts afresh" if start is None else f"the run goes on from {start}"
    if start is not None and validates and BEST not in said:
        start, then = None, f"without {BEST} the run starts afresh"
        if BEST not in damaged:
            print(f"{folder.address(BEST)} is lost: {then}", flush=True)
    for name, why in damaged.items():
        folder.put_aside(name, why, then)
    if start is None:
        return {}
    told = history or folder
    if isinstance(text := said[start].get("history"), str):
        told.replace(HISTORY, text)
    elif not told.exists(HISTORY):  # an older version's checkpoint does not have it
        raise SettingsError([f"{told} has lost its {HISTORY}; choose another directory"])
    # Whoever can write a checkpoint there must not be able to run code here.
    return {"ckpt_path": folder.address(start), "weights_only": True}


_TO_GO_ON = {"optimizer_states": list, "loops": dict, "callbacks": dict, "epoch": int}


def _said_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """Signature of a run in the content of a checkpoint."""
    if isinstance(signature := content.get(SIGNATURE), dict):
        return signature
    described = content.get(checkpoint.KEY)
    return {"what": described.get("training")} if isinstance(described, dict) else {}
