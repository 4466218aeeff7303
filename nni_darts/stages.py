"""The stages of the protocol: what a run does once it has its parameters."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import RawFormatModelSpace

from nni_darts import resolve
from nni_darts.config import Run, SettingsError
from nni_darts.device import free_device
from nni_darts.files import unwritable
from nni_darts.recipe import search_evaluator
from nni_darts.reporting import Report, Reporter, as_text
from nni_darts.strategy import UnrolledDARTS


class _ReportEpoch(pl.Callback):
    """Hands every epoch to the reporter, before the checkpoint of the epoch is written."""

    def __init__(self, strategy: UnrolledDARTS, reporter: Reporter) -> None:
        self.strategy = strategy
        self.reporter = reporter

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.reporter.epoch(
            trainer.current_epoch,
            metrics,
            self.strategy.oneshot_module.export_probs(),
            ranked(self.strategy, self.reporter.top_k),
        )


def ranked(strategy: UnrolledDARTS, limit: int) -> list[tuple[float, str]]:
    """(score, JSON text) of the best architectures, best first."""
    return [(score, as_text(sample)) for score, sample in strategy.top_k(limit)]


def search(run: Run, output: Path, send: Any) -> dict[str, Any]:
    """Search with one seed; returns the final result: flat, and enough to do it again.

    Args:
        run: what to do.
        output: the folder for checkpoint, history.csv and genotypes.json.
        send: takes each epoch's report.

    Raises:
        SettingsError: before anything is trained.
        DivergedError: a loss is not finite.
    """
    started = time.time()
    if run.search.cpu_threads is not None:
        torch.set_num_threads(run.search.cpu_threads)
    pl.seed_everything(run.seed, workers=True, verbose=False)
    if (reason := unwritable(output)) is not None:
        raise SettingsError([f"the output directory of the trial: {reason}"])
    data, space = resolve.parts(run)
    output.mkdir(parents=True, exist_ok=True)
    settings = run.search
    strategy = UnrolledDARTS(
        hypergradient=settings.hypergradient,
        arc_learning_rate=settings.arc_learning_rate,
        arc_betas=settings.arc_betas,
        arc_weight_decay=settings.arc_weight_decay,
        gradient_clip_val=settings.gradient_clip,
        warmup_epochs=settings.warmup_epochs,
    )
    reporter = Reporter(send, output, run.seed, settings.epochs, settings.top_k)
    with free_device() as device:
        print(f"search with seed {run.seed} on {device}; results in {output}", flush=True)
        evaluator = search_evaluator(
            settings,
            data,
            output,
            device,
            [_ReportEpoch(strategy, reporter)],
            progress_bar=sys.stdout.isatty(),
        )
        strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
    return {
        **_result(run, reporter.last, ranked(strategy, settings.top_k)),
        "output": str(output),
        "device": str(device),
        "seconds": round(time.time() - started, 1),
    }


def _result(run: Run, last: Report, best: list[tuple[float, str]]) -> dict[str, Any]:
    """What a search found, and all that it takes to do it again."""
    versions = {
        name: importlib.metadata.version(name) for name in ("torch", "pytorch-lightning", "nni")
    }
    metrics = ("default", "val_loss", "train_loss", "entropy")
    return {
        **{name: last[name] for name in metrics if name in last},
        "stage": run.stage,
        "seed": run.seed,
        **{f"score_{i}": score for i, (score, _) in enumerate(best, 1)},
        **{f"genotype_{i}": text for i, (_, text) in enumerate(best, 1)},
        "epochs": run.search.epochs,
        "run": run.model_dump_json(),
        "versions": json.dumps({"python": platform.python_version(), **versions}),
    }


STAGES: Mapping[str, Callable[[Run, Path, Any], dict[str, Any]]] = {"search": search}
