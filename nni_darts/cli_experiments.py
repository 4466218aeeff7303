"""The commands about experiments: check, run, export and report."""

from __future__ import annotations

import argparse
import json
import logging
import math
import socket
import sys
import time
from pathlib import Path
from typing import Any

from nni_darts import protocol, stored
from nni_darts.config import Settings, SettingsError
from nni_darts.found import Found, cells, found

POLL_SECONDS = 1.0
PATIENCE = 30.0
"""Seconds in which the tuner ends an experiment that has nothing more to run."""


def check(options: argparse.Namespace) -> int:
    from nni_darts import experiment_file

    _, settings = experiment_file.check(options.file)
    print(f"{options.file}: all is right; it runs {protocol.planned(settings)} trials")
    return 0


# run


def run(options: argparse.Namespace) -> int:
    from nni.experiment import Experiment, RunMode

    from nni_darts import experiment_file, results

    config, settings = experiment_file.check(options.file)
    port = options.port or _free_port(8080)
    logging.getLogger("nni").setLevel(logging.ERROR)
    running = Experiment(config)
    experiment = stored.Experiment(
        running.id,
        Path(config.canonical_copy().experiment_working_directory) / running.id,
    )
    try:
        running.start(port, run_mode=RunMode.Background)
    except Exception as error:  # NNI raises whatever stood in its way
        print(f"error: NNI could not start the experiment: {error}", file=sys.stderr)
        return 1
    print(f"experiment {running.id}  web UI http://localhost:{port}  files {experiment.folder}")
    try:
        status = _follow(running, experiment, settings)
    except KeyboardInterrupt:
        print("interrupted: stopping the experiment; go on with: nnictl resume", running.id)
        return 130
    finally:
        running.stop()
    table = results.table(experiment)
    failed = list(table.loc[table["status"] != "SUCCEEDED", "key"])
    if status == "DONE" and not failed and not table.empty:
        return 0
    what = f"failed for good: {', '.join(failed)}" if failed else "it did not come to its end"
    print(
        f"error: experiment {running.id} ended as {status}; {what}; "
        f"the logs are in {experiment.folder}",
        file=sys.stderr,
    )
    return 1


def _follow(running: Any, experiment: stored.Experiment, settings: Settings) -> str:
    """Print what happens until the experiment ends; returns its status."""
    from nni_darts.reporting import leading, summary

    shown: dict[str, int] = {}
    states: dict[str, str] = {}
    idle_since = time.monotonic()
    while True:
        status = str(running.get_status())
        for trial in experiment.trials():
            name = f"trial {trial.id}" + ("" if trial.key is None else f" {trial.key}")
            for epoch in sorted(trial.reports)[shown.get(trial.id, 0) :]:
                report = trial.reports[epoch]
                line = summary(report, _epochs(settings, trial.key))
                print(f"{name}  {line}  {leading(report)}".rstrip(), flush=True)
            shown[trial.id] = len(trial.reports)
            if states.get(trial.id) != trial.status:
                states[trial.id] = trial.status
                print(f"{name}  {trial.status.lower()}{_reason(experiment, trial)}", flush=True)
        if status in ("DONE", "ERROR", "STOPPED"):
            return status
        if status != "TUNER_NO_MORE_TRIAL" or any(t.alive for t in experiment.trials()):
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > PATIENCE:
            return status
        time.sleep(POLL_SECONDS)


def _epochs(settings: Settings, key: str | None) -> int:
    stage = getattr(settings, str(key).partition("-")[0], None)
    return 0 if stage is None else int(stage.epochs)


def _reason(experiment: stored.Experiment, trial: stored.Trial) -> str:
    """The last line that a failed trial printed on its standard error, where that is here."""
    if trial.status != "FAILED":
        return ""
    logs = sorted(experiment.folder.glob(f"environments/*/trials/{trial.id}/trial.stderr"))
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line]
    return f": {lines[-1]}" if lines else ""


def _free_port(first: int) -> int:
    for port in range(first, 65536):
        with socket.socket() as candidate:
            if candidate.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise SettingsError([f"--port: no port from {first} on is free"])


# export


def export(options: argparse.Namespace) -> int:
    from nni_darts.results import nothing_yet

    experiment = stored.find(options.experiment)
    best = found(experiment)[: options.top_k]
    if not best:
        raise nothing_yet(experiment)
    if options.format is None:
        text = _table(experiment, best)
    elif options.format == "json":
        text = json.dumps([_fields(rank, f) for rank, f in enumerate(best, 1)], indent=1)
    else:
        text = _formatted(experiment, best, options.format)
    if options.output is None:
        print(text)
    else:
        _write(options.output, f"{text}\n")
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError([f"cannot write {path}: {error.strerror}"]) from None


def _table(experiment: stored.Experiment, best: list[Found]) -> str:
    name, key = experiment.config().get("experimentName", ""), best[0].metric.key
    lines = [
        f"experiment {experiment.id} {name}".rstrip(),
        f"its best {len(best)}, those first that came furthest",
        f"(score: log probability under the alphas; val {key}: trained from scratch, on validation "
        f"data; test {key}: mean over the evaluations)",
        "",
        f"{'rank':>4}  {'stage':<8}  {'genotype':<8}  {'score':>8}  {'seed':>4}  {'trial':<8}  "
        f"{f'val {key}':>8}  {f'test {key}':>8}  {'params':>10}  {'mult-adds':>13}",
    ]
    for rank, f in enumerate(best, 1):
        score = "-" if f.score is None else f"{f.score:.3f}"
        params, multiply_adds = (
            "-" if n is None else f"{n:,}" for n in (f.params, f.multiply_adds)
        )
        lines.append(
            f"{rank:>4}  {f.stage:<8}  {f.name or '-':<8}  {score:>8}  {f.seed:>4}  {f.trial:<8}  "
            f"{_written(f, f.val):>8}  {_written(f, f.test):>8}  {params:>10}  "
            f"{multiply_adds:>13}"
        )
        lines += [f"{'':>4}  {line}" for line in cells(f.text)]
    return "\n".join(lines)


def _written(f: Found, value: float | None) -> str:
    return "-" if value is None else f.metric.written(value)


def _fields(rank: int, f: Found) -> dict[str, Any]:
    fields = {
        "rank": rank,
        "stage": f.stage,
        "name": f.name,
        "score": f.score,
        "seed": f.seed,
        "trial": f.trial,
        f"supernet_{f.metric.key}": f.supernet,
        f.metric.val: f.val,
        f.metric.test: f.test,
        "test_std": f.test_std,
        "params": f.params,
        "multiply_adds": f.multiply_adds,
        "genotype": json.loads(f.text),
    }
    # JSON has no NaN.
    lost = {k: None for k, v in fields.items() if isinstance(v, float) and not math.isfinite(v)}
    return {**fields, **lost}


def _formatted(experiment: stored.Experiment, best: list[Found], format: str) -> str:
    lines = []
    for rank, f in enumerate(best, 1):
        try:
            # A sample of another space has the form of NNI already.
            text = f.text if format == "nni" and not f.name else f.to_text(format)
        except ValueError as error:
            raise SettingsError(
                [f"rank {rank} of experiment {experiment.id} has no form {format!r}: {error}"]
            ) from None
        score = "" if f.score is None else f", score {f.score:.4f}"
        lines += [f"# rank {rank}, {f.stage}{score}, seed {f.seed}, trial {f.trial}", text]
    return "\n".join(lines)


# report


def report(options: argparse.Namespace) -> int:
    from nni_darts.report import html

    experiment = stored.find(options.experiment)
    path = options.output or Path(f"report-{experiment.id}.html")
    _write(path, html(experiment))
    print(f"written to {path}")
    return 0
