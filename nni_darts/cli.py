"""The command `nni-darts`: check, run and export.

Exit status: 0 for success, 1 when a run failed, 2 for a user's mistake, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nni_darts import stored
from nni_darts.config import Settings, SettingsError
from nni_darts.genotype import FORMATS, Genotype
from nni_darts.reporting import leading, summary

POLL_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    # NNI 3.0 wonders aloud about today's torch.
    warnings.filterwarnings("ignore", module=r"nni\.")
    try:
        return int(options.run(options))
    except SettingsError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
    except stored.StoredError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:
        return 1
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nni-darts", description="DARTS searches on NNI: check, run, export."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="say what is wrong in an experiment file")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_check)

    run = commands.add_parser("run", help="run an experiment and show its progress")
    run.add_argument("file", type=Path, metavar="FILE")
    run.add_argument(
        "--port", type=_port, help="of NNI's web UI; the first free one from 8080 by default"
    )
    run.set_defaults(run=_run)

    export = commands.add_parser("export", help="print the best genotypes of an experiment")
    export.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT_ID", help="the latest of ours by default"
    )
    export.add_argument("--top-k", type=_count, default=3, metavar="N", help="3 by default")
    export.add_argument("--format", choices=FORMATS, help="for other programs; a table without")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there")
    export.set_defaults(run=_export)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


# check


def _check(options: argparse.Namespace) -> int:
    from nni_darts import experiment_file, protocol

    _, settings = experiment_file.check(options.file)
    print(f"{options.file}: all is right; it runs {len(protocol.runs(settings))} trials")
    return 0


# run


def _run(options: argparse.Namespace) -> int:
    from nni.experiment import Experiment, RunMode

    from nni_darts import experiment_file

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
    done = [trial for trial in experiment.trials() if trial.result is not None]
    planned = config.max_trial_number
    if done:
        print(_table(experiment, settings.search.top_k))
    if status != "DONE" or len(done) < planned:
        print(
            f"error: {len(done)} of {planned} trials succeeded (experiment {status}); "
            f"their logs are in {experiment.folder}",
            file=sys.stderr,
        )
        return 1
    return 0


def _follow(running: Any, experiment: stored.Experiment, settings: Settings) -> str:
    """Print what happens until the experiment ends; returns its status."""
    shown: dict[str, int] = {}
    states: dict[str, str] = {}
    while True:
        status = str(running.get_status())
        for trial in experiment.trials():
            name = f"trial {trial.id}" + ("" if trial.seed is None else f" seed {trial.seed}")
            for epoch in sorted(trial.reports)[shown.get(trial.id, 0) :]:
                report = trial.reports[epoch]
                line = summary(report, settings.search.epochs)
                print(f"{name}  {line}  {leading(report)}".rstrip(), flush=True)
            shown[trial.id] = len(trial.reports)
            if states.get(trial.id) != trial.status:
                states[trial.id] = trial.status
                print(f"{name}  {trial.status.lower()}{_reason(experiment, trial)}", flush=True)
        if status in ("DONE", "ERROR", "STOPPED") or _stuck(status, states):
            return status
        time.sleep(POLL_SECONDS)


def _stuck(status: str, states: dict[str, str]) -> bool:
    """NNI idles for ever when the tuner has nothing more and maxTrialNumber is not reached."""
    ended = all(state not in ("WAITING", "RUNNING", "UNKNOWN") for state in states.values())
    return status == "TUNER_NO_MORE_TRIAL" and bool(states) and ended


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


def _export(options: argparse.Namespace) -> int:
    experiment = stored.find(options.experiment)
    if options.format is None:
        text = _table(experiment, options.top_k)
    else:
        text = _formatted(experiment, options.top_k, options.format)
    if options.output is None:
        print(text)
        return 0
    try:
        options.output.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError([f"cannot write {options.output}: {error.strerror}"]) from None
    return 0


def _found(experiment: stored.Experiment, limit: int) -> list[stored.Found]:
    found = experiment.found()
    if not found:
        trials = experiment.trials()
        states = ", ".join(f"{t.id} {t.status.lower()}" for t in trials) or "none yet"
        raise stored.StoredError(
            f"no search of experiment {experiment.id} has ended with a result; trials: {states}"
        )
    return found[:limit]


def _table(experiment: stored.Experiment, limit: int) -> str:
    found = _found(experiment, limit)
    name = experiment.config().get("experimentName", "")
    lines = [
        f"experiment {experiment.id} {name}: the best {len(found)} by score",
        "(score: log probability under the alphas; accuracy: the supernet's, which does not rank "
        "cells)",
        "",
        f"{'rank':>4}  {'score':>8}  {'seed':>4}  {'trial':<8}  {'accuracy':>8}",
    ]
    for rank, f in enumerate(found, 1):
        lines.append(f"{rank:>4}  {f.score:>8.3f}  {f.seed:>4}  {f.trial:<8}  {f.accuracy:>8.4f}")
        lines += [f"      {line}" for line in _readable(f.text)]
    return "\n".join(lines)


def _readable(text: str) -> list[str]:
    """A genotype cell by cell: `normal  2: sep_conv_3x3(0) skip_connect(1)  3: ...`."""
    try:
        genotype: Genotype = stored.genotype(text)
    except ValueError:
        return [text]
    lines = []
    for cell in genotype.cells:
        nodes = [
            f"{state}: " + " ".join(f"{operation}({source})" for operation, source in node)
            for state, node in enumerate(cell.nodes, cell.num_inputs)
        ]
        lines.append(f"{cell.kind:<9} " + "  ".join(nodes))
    return lines


def _formatted(experiment: stored.Experiment, limit: int, format: str) -> str:
    found = _found(experiment, limit)
    if format == "json":
        rows = [
            {
                "rank": rank,
                "score": f.score,
                "seed": f.seed,
                "trial": f.trial,
                "val_acc": f.accuracy,
                "genotype": json.loads(f.text),
            }
            for rank, f in enumerate(found, 1)
        ]
        return json.dumps(rows, indent=1)
    lines = []
    for rank, f in enumerate(found, 1):
        try:
            text = f.text if format == "nni" and _is_sample(f.text) else f.to_text(format)
        except ValueError as error:
            raise SettingsError(
                [f"rank {rank} of experiment {experiment.id} has no form {format!r}: {error}"]
            ) from None
        lines += [f"# rank {rank}, score {f.score:.4f}, seed {f.seed}, trial {f.trial}", text]
    return "\n".join(lines)


def _is_sample(text: str) -> bool:
    try:
        stored.genotype(text)
    except ValueError:
        return True
    return False
