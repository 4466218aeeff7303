"""The trainer of a network that is trained from scratch."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from nni_darts.tasks.settings import Training
from nni_darts.training.run_folder import BEST
from nni_darts.training.trainer_options import (
    Checkpoints,
    OwnSignals,
    last_checkpoint,
    trainer_options,
)


def trainer(
    settings: Training,
    output: str | Path,
    devices: list[torch.device],
    validates: bool,
    callbacks: list[Callback],
    progress_bar: bool,
) -> pl.Trainer:
    """A trainer that writes checkpoints to `output`: the last one and, if it validates, the best.

    Args:
        settings: settings of the training.
        output: an existing folder.
        devices: GPUs; or the CPU, for as many processes as the settings have.
        validates: whether there is validation data.
        callbacks: besides the checkpoints; called before they are written.
        progress_bar: whether to show one.
    """
    checkpoints: list[Callback] = [last_checkpoint(output), OwnSignals()]
    if validates:
        best = Checkpoints(
            output,
            Path(BEST).stem,
            monitor=settings.task.metric.val,
            mode=settings.task.metric.mode,
            save_weights_only=True,
            # While the weights are those that were validated: a recipe may put others in place.
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
        checkpoints.insert(0, best)
    common = trainer_options(settings.epochs, settings.precision, output, devices, progress_bar)
    if devices[0].type == "cpu":
        common["devices"] = settings.processes
    return pl.Trainer(
        **common,
        strategy="ddp" if settings.processes > 1 else "auto",
        # The data knows which process it is for, and counts no image twice.
        use_distributed_sampler=False,
        gradient_clip_val=settings.gradient_clip,
        callbacks=[*callbacks, *checkpoints],
    )
