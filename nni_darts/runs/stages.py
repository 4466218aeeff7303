"""Stages of the protocol: the work of a run once it has its parameters."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import RawFormatModelSpace

from nni_darts._common.metric import Metric
from nni_darts._common.validation import SettingsError, UnavailableError
from nni_darts.history.record import HISTORY, EpochRecord
from nni_darts.runs import build
from nni_darts.runs.evaluator import search_evaluator
from nni_darts.runs.go_back import GoBack
from nni_darts.runs.identity import of_run
from nni_darts.runs.progressive import SearchPart, Stages, method_of
from nni_darts.runs.reporter import Reporter, as_text, write_genotypes, write_selection
from nni_darts.runs.run_key import key
from nni_darts.runs.train import Job, train
from nni_darts.search.eigenvalue import Eigenvalue
from nni_darts.search.progressive import SearchStage
from nni_darts.search.strategy import UnrolledDARTS
from nni_darts.supernet.architectures import edge_weights
from nni_darts.tasks.settings import Run, Search
from nni_darts.tasks.stage import Stage
from nni_darts.training.devices import free_devices
from nni_darts.training.memory import advised_out_of_memory
from nni_darts.training.run_folder import RunFolder
from nni_darts.training.trainer_options import Signed, go_on


class _ReportEpoch(pl.Callback):
    """Hands every epoch to the reporter, before the checkpoint of the epoch is written."""

    def __init__(
        self,
        strategy: UnrolledDARTS,
        reporter: Reporter,
        top_k: int,
        metric: Metric,
        stage: SearchStage | None,
    ) -> None:
        self.strategy = strategy
        self.metric = metric
        self.reporter = reporter
        self.top_k = top_k
        self.stage = stage
        self.best: list[tuple[float, str]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        folder, epoch = self.reporter.folder, trainer.current_epoch
        if self.stage is not None:
            epoch += self.stage.first_epoch
            metrics["stage"] = self.stage.number + 1
        self.best = write_found(self.strategy, folder, epoch, self.top_k)
        module = self.strategy.oneshot_module
        edges = {
            node: {edge: weight.item() for edge, weight in row.items()}
            for node, row in edge_weights(module.model).items()
        }
        self.reporter.epoch(
            EpochRecord.of_search(epoch, self.metric, metrics, module.export_probs(), edges)
        )


def write_found(
    strategy: UnrolledDARTS, folder: RunFolder, epoch: int, limit: int
) -> list[tuple[float, str]]:
    """Write the best architectures after an epoch, and what was decided; return the former."""
    best = ranked(strategy, limit)
    write_genotypes(folder, epoch, best)
    write_selection(folder, strategy.oneshot_module.closing.state)
    return best


def ranked(strategy: UnrolledDARTS, limit: int) -> list[tuple[float, str]]:
    """Best architectures, best first, as (score, JSON text)."""
    return [(score, as_text(sample)) for score, sample in strategy.top_k(limit)]


def strategy_of(settings: Search, **changed: Any) -> UnrolledDARTS:
    """The strategy that the settings of a search describe, with other arguments where given."""
    measured = settings.eigenvalue
    given: dict[str, Any] = {
        **settings.parts,
        "eigenvalue": Eigenvalue(measured.batches, measured.every) if measured else None,
        "arc_learning_rate": settings.arc_learning_rate,
        "arc_betas": settings.arc_betas,
        "arc_weight_decay": settings.arc_weight_decay,
        "gradient_clip_val": settings.gradient_clip,
        "warmup_epochs": settings.warmup_epochs,
        "cuda_graphs": settings.cuda_graphs,
        **settings.own,
    }
    return UnrolledDARTS(**{**given, **changed})


class Begin(NamedTuple):
    """Checkpoint that a search begins with in a new folder, instead of from scratch."""

    address: str
    history: str
    """Text of the history up to it."""


def search(
    run: Run, output: Path, send: Callable[[Any], None], begin: Begin | None = None
) -> dict[str, Any]:
    """Search with one seed; returns the final result: flat, and enough to do it again.

    Args:
        run: run to do.
        output: the folder for checkpoint, history.csv and genotypes.json.
        send: takes each epoch's report.
        begin: where it begins if the folder has no checkpoint.

    Raises:
        SettingsError: before anything is trained; also where the folder has another run's
            checkpoint.
        CheckpointError: the checkpoint there cannot be read.
        DivergedError: a loss is not finite.
    """
    started = time.time()
    settings = run.search
    if settings is None:
        raise SettingsError(["search: there are no settings for it"])
    if settings.cpu_threads is not None:
        torch.set_num_threads(settings.cpu_threads)
    pl.seed_everything(run.seed, workers=True, verbose=False)
    folder = RunFolder.at(output)
    if (reason := folder.unwritable()) is not None:
        raise UnavailableError([f"the output directory of the trial: {reason}"])
    method, metric = method_of(run), run.task.metric
    data, space = build.parts(run, load=method is None)
    folder.make()
    with free_devices() as (device,):
        if method is None:
            whole = SearchPart(run, run.seed, of_run(run), folder)
            strategy, reporter, go_back = _searched(
                run, whole, data, space, folder, device, send, begin
            )
        else:
            stages = Stages(run, method, output)
            for part in stages:
                pl.seed_everything(part.seed, workers=True, verbose=False)
                data, space = build.parts(part.run)
                part.folder.make()
                strategy, reporter, go_back = _searched(
                    run, part, data, space, folder, device, send
                )
                stages.finish(part, strategy)
    turn = None if go_back is None else go_back.turn
    last = reporter.last if turn is None else reporter.record(turn.back)
    assert last is not None, "a search has at least one epoch"
    if go_back is None or turn is None:
        best, turned = write_found(strategy, folder, last.epoch, settings.top_k), {}
    else:
        best, turned = go_back.chosen, {"stopped_after": turn.epoch + 1, "back_to": turn.back + 1}
        write_genotypes(folder, turn.back, best)
    print(f"best: {best[0][1]} (score {best[0][0]:.3f})")
    metrics = ("val_loss", "train_loss", "entropy")
    return {
        "default": last.default,
        **{name: last.metrics[name] for name in metrics if name in last.metrics},
        metric.val: last.default,
        **{f"score_{i}": score for i, (score, _) in enumerate(best, 1)},
        **{f"genotype_{i}": text for i, (_, text) in enumerate(best, 1)},
        "epochs": settings.epochs,
        **turned,
        "device": str(device),
        "seconds": round(time.time() - started, 1),
        **_again(run, output),
    }


def _searched(
    run: Run,
    part: SearchPart,
    data: Any,
    space: Any,
    folder: RunFolder,
    device: torch.device,
    send: Callable[[Any], None],
    begin: Begin | None = None,
) -> tuple[UnrolledDARTS, Reporter, GoBack | None]:
    """Search one part of a run on a device; the history of the run is in `folder`."""
    settings, whole = part.run.search, run.search
    assert settings is not None
    assert whole is not None
    fit = go_on(part.folder, part.identity, history=folder)
    if begin is not None and not fit:
        folder.replace(HISTORY, begin.history)
        fit = {"ckpt_path": begin.address, "weights_only": True}
    strategy = strategy_of(settings, **(part.stage.strategy if part.stage else {}))
    reporter = Reporter(send, folder, key(run), run.seed, whole.epochs)
    report = _ReportEpoch(strategy, reporter, settings.top_k, run.task.metric, part.stage)
    rule = settings.eigenvalue.stop if settings.eigenvalue else None
    go_back = None if rule is None else GoBack(rule, lambda: report.best)
    stage = f", stage {part.stage.number + 1}" if part.stage else ""
    print(f"{key(run)}{stage}: on {device}; results in {folder}", flush=True)
    evaluator = search_evaluator(
        run.task.search_module(settings, data),
        settings,
        data,
        str(part.folder),
        device,
        [
            report,
            *([go_back] if go_back else []),
            Signed(folder, part.identity),
        ],
        progress_bar=sys.stdout.isatty(),
        fit=fit,
    )
    advice = ["lower batch_size"]
    if getattr(settings, "recompute", None) is False:
        advice.append("set recompute: true in search, which takes longer")
    with advised_out_of_memory(" or ".join(advice)):
        strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
    return strategy, reporter, go_back


def select(run: Run, output: Path, send: Callable[[Any], None]) -> dict[str, Any]:
    """Train a genotype briefly, to compare it on validation data. See `train`."""
    return _train(run, output, send, compared=True)


def evaluate(run: Run, output: Path, send: Callable[[Any], None]) -> dict[str, Any]:
    """Train a genotype in full and test it, once. See `train`."""
    return _train(run, output, send, tested=True)


def _train(run: Run, output: Path, send: Callable[[Any], None], **purpose: bool) -> dict[str, Any]:
    architecture = run.task.architecture(str(run.genotype))
    job = Job(architecture, run.training, run.data, run.seed, output, key(run))
    result = train(job, send, **purpose)
    return {
        **result,
        "genotype": architecture.to_json(),
        "epochs": run.training.epochs,
        **_again(run, output),
    }


def _again(run: Run, output: Path) -> dict[str, Any]:
    """Identity of the run, and all that it takes to do it again."""
    versions = {
        name: importlib.metadata.version(name) for name in ("torch", "pytorch-lightning", "nni")
    }
    return {
        "key": key(run),
        "stage": run.stage.value,
        "seed": run.seed,
        "output": str(output),
        "run": run.model_dump_json(),
        "versions": json.dumps({"python": platform.python_version(), **versions}),
    }


Perform = Callable[[Run, Path, Callable[[Any], None]], dict[str, Any]]
STAGES: Mapping[Stage, Perform] = {
    Stage.SEARCH: search,
    Stage.SELECT: select,
    Stage.EVALUATE: evaluate,
}
