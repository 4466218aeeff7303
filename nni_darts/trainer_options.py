"""What every Lightning trainer here has in common, in the search and from scratch."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from nni_darts.checkpoint_io import AtomicCheckpointIO
from nni_darts.precision import lightning_precision

LAST = "last.ckpt"
"""Everything that it takes to go on after the last epoch."""


def trainer_options(
    epochs: int, precision: str, output: Path, devices: list[torch.device], progress_bar: bool
) -> dict[str, Any]:
    """Arguments for a `Trainer` that is reproducible and writes nothing but its checkpoints.

    Args:
        epochs: of the whole training.
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
        "plugins": [AtomicCheckpointIO()],
        "default_root_dir": output,
        "logger": False,
        "enable_progress_bar": progress_bar,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }


class OwnSignals(Callback):
    """Leaves SIGTERM to whom it was with.

    Lightning would tell the other processes of a training first, by a broadcast that waits for
    them, and end with a status of success.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if callable(self._handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


def last_checkpoint(output: Path) -> ModelCheckpoint:
    """Writes `LAST` to `output` after every epoch."""
    return ModelCheckpoint(
        output, Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
    )


def go_on(output: Path) -> dict[str, Any]:
    """Arguments for `fit`: from `LAST` in `output`, if it is there."""
    if not (output / LAST).exists():
        return {}
    # Whoever can write a checkpoint there must not be able to run code here.
    return {"ckpt_path": str(output / LAST), "weights_only": True}
