"""The commands that run experiments: run, and env for those that nnictl runs."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import suppress

from nni_darts._common import signals
from nni_darts._common.messages import printable
from nni_darts.experiment import loopback, nni_database
from nni_darts.experiment.running import GoneError, Running, StartError, require_way_back
from nni_darts.runs.run_key import RunKey
from nni_darts.tasks.settings import Settings

POLL_SECONDS = 1.0
PATIENCE = 30.0
"""Seconds in which the tuner ends an experiment that has nothing more to run."""


def env(options: argparse.Namespace) -> int:
    print(loopback.shell_line(os.environ))
    return 0


def run(options: argparse.Namespace) -> int:
    from nni_darts.experiment import check, results

    config, settings = check.check(options.file)
    require_way_back(config, options.host, options.port)
    running = Running(config, options.host)
    try:
        running.start(options.port)
        print(
            f"experiment {running.id}  web UI {running.address}  files {running.stored.folder}",
            flush=True,
        )
        if options.host == loopback.ALL:
            print(loopback.warning(running.port), file=sys.stderr)
        for command in require_way_back(config, options.host, running.port):
            print(f"remote machines need this while it runs: {command}", flush=True)
        status = _follow(running, settings)
    except StartError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    except GoneError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        status = "lost"
    except signals.Ended as ended:
        with suppress(OSError):  # the terminal may be closed
            print(
                f"{ended}: stopping experiment {running.id}; "
                f"go on with: nnictl resume {running.id}",
                file=sys.stderr,
            )
        return ended.status
    finally:
        with signals.handled_by(signal.SIG_IGN):
            running.stop()
    table = results.table(running.stored)
    failed = list(table.loc[table["status"] != "SUCCEEDED", "key"])
    if status == "DONE" and not failed and not table.empty:
        return 0
    what = f"failed for good: {', '.join(failed)}" if failed else "it did not come to its end"
    print(
        f"error: experiment {running.id} ended as {status}; {what}; "
        f"the logs are in {running.stored.folder}",
        file=sys.stderr,
    )
    return 1


def _follow(running: Running, settings: Settings) -> str:
    """Print what happens until the experiment ends; returns its status."""
    from nni_darts.history.flat import from_flat
    from nni_darts.runs.reporter import leading, summary

    shown: dict[str, int] = {}
    states: dict[str, str] = {}
    idle_since = time.monotonic()
    while True:
        status = running.status()
        trials = running.stored.trials()
        for trial in trials:
            name = f"trial {trial.id}" + ("" if trial.key is None else f" {trial.key}")
            for epoch in sorted(trial.reports)[shown.get(trial.id, 0) :]:
                record = from_flat(trial.reports[epoch])
                line = summary(record, _epochs(settings, trial.key))
                print(printable(f"{name}  {line}  {leading(record)}".rstrip()), flush=True)
            shown[trial.id] = len(trial.reports)
            if states.get(trial.id) != trial.status:
                states[trial.id] = trial.status
                reason = _reason(running.stored, trial)
                print(printable(f"{name}  {trial.status.lower()}{reason}"), flush=True)
        if status in ("DONE", "ERROR", "STOPPED"):
            return status
        if status != "TUNER_NO_MORE_TRIAL" or any(t.alive for t in trials):
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > PATIENCE:
            return status
        time.sleep(POLL_SECONDS)


def _epochs(settings: Settings, key: str | None) -> int:
    stage = None if key is None else getattr(settings, RunKey.parse(key).stage.value)
    return 0 if stage is None else int(stage.epochs)


def _reason(experiment: nni_database.Experiment, trial: nni_database.Trial) -> str:
    """The last line that a failed trial printed on its standard error, where that is here."""
    if trial.status != "FAILED":
        return ""
    logs = sorted(experiment.folder.glob(f"environments/*/trials/{trial.id}/trial.stderr"))
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line]
    return f": {lines[-1]}" if lines else ""
