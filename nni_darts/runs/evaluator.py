"""The evaluator that NNI's strategies take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from nni.nas.evaluator.pytorch import Lightning, LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nni_darts.tasks.settings import Search
from nni_darts.training.trainer_options import OwnSignals, last_checkpoint, trainer_options


def search_evaluator(
    recipe: LightningModule,
    settings: Search,
    data: Any,
    output: str | Path,
    device: torch.device,
    callbacks: list[Callback],
    progress_bar: bool,
    fit: dict[str, Any] | None = None,
) -> Lightning:
    """The evaluator of a search by a recipe.

    It writes a checkpoint to `output` after every epoch; `fit` are arguments for the trainer's, as
    `nni_darts.training.trainer_options.go_on` gives them.
    """
    trainer = Trainer(
        **trainer_options(settings.epochs, settings.precision, output, [device], progress_bar),
        callbacks=[*callbacks, last_checkpoint(output), OwnSignals()],
    )
    return Lightning(recipe, trainer, datamodule=data, fit_kwargs=fit or {})
