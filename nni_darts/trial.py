"""One run, as NNI starts it: `python -m nni_darts.trial`.

A trial is stateless: all it needs is in its parameters. It writes a checkpoint to its output
directory after every epoch and goes on from there when NNI runs it again. It exits with 0 when it
is done, 2 when its settings are wrong, 1 when the search diverged; the reason is its last line.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import nni
import pytorch_lightning as pl
import torch
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import RawFormatModelSpace
from nni.runtime.env_vars import trial_env_vars
from nni.runtime.trial_command_channel import get_default_trial_command_channel

from nni_darts import resolve
from nni_darts.config import Run, SettingsError, parse_run
from nni_darts.device import free_device
from nni_darts.oneshot import DivergedError
from nni_darts.recipe import search_evaluator
from nni_darts.reporting import Reporter, as_text
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
    data, space = resolve.parts(run)
    settings = run.search
    strategy = UnrolledDARTS(
        hypergradient=settings.hypergradient,
        arc_learning_rate=settings.arc_learning_rate,
        arc_betas=settings.arc_betas,
        arc_weight_decay=settings.arc_weight_decay,
        gradient_clip_val=settings.gradient_clip,
        warmup_epochs=settings.warmup_epochs,
    )
    output.mkdir(parents=True, exist_ok=True)
    reporter = Reporter(send, output, settings.epochs, settings.top_k)
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
    best = ranked(strategy, settings.top_k)
    names = ("default", "val_loss", "train_loss", "entropy")
    return {
        **{name: reporter.last[name] for name in names if name in reporter.last},
        "stage": run.stage,
        "seed": run.seed,
        **{f"score_{i}": score for i, (score, _) in enumerate(best, 1)},
        **{f"genotype_{i}": text for i, (_, text) in enumerate(best, 1)},
        "epochs": settings.epochs,
        "run": run.model_dump_json(),
        "output": str(output),
        "device": str(device),
        "versions": json.dumps(
            {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "lightning": importlib.metadata.version("pytorch-lightning"),
                "nni": nni.__version__,
            }
        ),
        "seconds": round(time.time() - started, 1),
    }


def main() -> int:
    """Run what NNI asks for."""
    warnings.filterwarnings("ignore", module="nni\\.|pytorch_lightning\\.|lightning")
    parameters = nni.get_next_parameter()
    if not isinstance(parameters, dict) or "stage" not in parameters:
        print(
            "nni_darts.trial is started by an NNI experiment, which gives it its parameters; "
            "use `nni-darts run FILE` or `nnictl create --config FILE`",
            file=sys.stderr,
        )
        return 2
    # While NNI's engine runs, it takes nni.report_* for itself: keep the way to the experiment.
    channel = get_default_trial_command_channel()
    parameter_id = nni.trial._params["parameter_id"]
    sequence = 0

    def send(report: dict[str, Any], kind: Any = "PERIODICAL") -> None:
        nonlocal sequence
        job = trial_env_vars.NNI_TRIAL_JOB_ID
        channel.send_metric(
            kind, parameter_id, job, sequence if kind == "PERIODICAL" else 0, report
        )
        sequence += 1

    try:
        result = search(parse_run(parameters), Path(os.environ["NNI_OUTPUT_DIR"]), send)
    except SettingsError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    send(result, "FINAL")
    print(f"best: {result['genotype_1']} (score {result['score_1']:.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
