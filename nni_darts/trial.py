"""One run, as NNI starts it: `python -m nni_darts.trial`.

A trial is stateless: all it needs is in its parameters. What it writes goes to a folder of the run,
not of the trial, so that whichever trial does the run again goes on from its checkpoint, or hands
in its result if it was over. It exits with 0 when it is done, 2 when its settings are wrong, 1 when
the training failed or its Python lacks something; the reason is its last line.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nni_darts._common import environment

try:
    from nni_darts._common.messages import printable
    from nni_darts._common.signals import dying, handled_by
    from nni_darts._common.validation import SettingsError, UnavailableError
    from nni_darts.experiment import loopback
    from nni_darts.experiment.nni_database import INTERRUPTED
    from nni_darts.runs.identity import of_run
    from nni_darts.runs.run_key import key
    from nni_darts.runs.tensorboard import show_in_nni
    from nni_darts.tasks.registry import parse_run
    from nni_darts.tasks.settings import Run
    from nni_darts.tasks.stage import Stage
    from nni_darts.training.run_folder import TENSORBOARD, RunFolder
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    sys.exit(environment.unable(error))

PARAMETERS = "NNI_DARTS_PARAMETERS"
"""Variable that tells the processes that train together with this one what they train."""
PAGE = "alphas.html"
"""Page that `nni_darts.assessor` writes into the experiment's log folder."""


def main() -> int:
    """Run what NNI asks for."""
    # NNI 3.0 wonders aloud about today's torch, and Lightning advertises; the log is for the user.
    warnings.filterwarnings("ignore", module=r"nni\.|pytorch_lightning\.|torch\.")
    if PARAMETERS in os.environ and int(os.environ.get("LOCAL_RANK", 0)) > 0:
        return perform(json.loads(os.environ[PARAMETERS]), lambda report, kind: None)

    import nni
    from nni.runtime.env_vars import trial_env_vars
    from nni.runtime.trial_command_channel import get_default_trial_command_channel

    parameters = nni.get_next_parameter()
    if not isinstance(parameters, dict) or "stage" not in parameters:
        print(
            "nni_darts.trial is started by an NNI experiment, which gives it its parameters; "
            "use `nni-darts run FILE` or `nnictl create --config FILE`",
            file=sys.stderr,
        )
        return 2
    os.environ[PARAMETERS] = json.dumps(parameters)
    # While NNI's engine runs, it takes nni.report_* for itself: keep the way to the experiment.
    channel = get_default_trial_command_channel()
    parameter_id = nni.trial._params["parameter_id"]
    sequence = itertools.count()

    def send(report: dict[str, Any], kind: Any) -> None:
        number = next(sequence) if kind == "PERIODICAL" else 0
        channel.send_metric(kind, parameter_id, trial_env_vars.NNI_TRIAL_JOB_ID, number, report)

    # NNI takes an exit status for a failure; the signal itself tells it that the trial was stopped.
    with handled_by(dying(lambda: "before its run began", by_the_signal=True)):
        return perform(parameters, send)


def perform(parameters: dict[str, Any], send: Callable[[dict[str, Any], str], None]) -> int:
    """Do a run; `send` takes its reports ("PERIODICAL") and its result ("FINAL")."""
    try:
        run = parse_run(parameters)
        # Only now what takes seconds to import.
        from nni_darts.runs.stages import STAGES
        from nni_darts.training.checkpoint import CheckpointError
        from nni_darts.training.finite_losses import DivergedError
        from nni_darts.training.memory import OutOfMemoryError
    except SettingsError as error:
        return _wrong(error)
    except ModuleNotFoundError as error:
        return environment.unable(error)
    # Lightning sets its own level when it is imported.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # NNI's folder is <environment>/trials/<id>: all trials of the environment see the runs.
    output = Path(os.environ["NNI_OUTPUT_DIR"]).parents[1] / "runs" / key(run)
    folder = RunFolder.at(output)
    last_words = dying(lambda: _how_to_go_on(run, folder), by_the_signal=True)
    reports = _Reports(run, send)
    try:
        with handled_by(last_words), _alone_in(folder):
            _show(run, folder)
            identity = of_run(run)
            result = folder.result(identity)
            if result is None:
                result = STAGES[run.stage](run, output, reports.send)
                folder.keep_result(identity, result)
            send(result, "FINAL")
    except UnavailableError as error:
        reports.interrupted(error.problems[0])
        return _wrong(error)
    except SettingsError as error:
        return _wrong(error)
    except ModuleNotFoundError as error:
        return environment.unable(error)
    except OSError as error:
        # A full disk, a file that cannot be read: it is no fault of the run. Told first, for what
        # is printed may go to the full disk.
        reports.interrupted(str(error))
        with suppress(OSError):
            print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    except (DivergedError, OutOfMemoryError, CheckpointError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


def _how_to_go_on(run: Run, folder: RunFolder) -> str:
    stage = getattr(run, run.stage.value)
    experiment = os.environ.get("NNI_EXP_ID", "ID")
    return (
        f"{folder.where(stage.epochs)} of {key(run)}; where the experiment was stopped, "
        f"`nnictl resume {experiment}` goes on from the end of the epoch before"
    )


class _Reports:
    """Reports of a run, in order."""

    def __init__(self, run: Run, send: Callable[[dict[str, Any], str], None]) -> None:
        self._key = key(run)
        self._send = send
        # NNI's own assessors fail on a report without it.
        self._default = 0.0

    def send(self, report: dict[str, Any]) -> None:
        self._default = report.get("default", self._default)
        self._send(report, "PERIODICAL")

    def interrupted(self, cause: str) -> None:
        """Say which run ends here, and why: the protocol does not count it as its failure."""
        report = {"default": self._default, "key": self._key, INTERRUPTED: cause}
        # Where the manager is gone, too, it starts the trial again when it comes back.
        with suppress(OSError):
            self._send(report, "PERIODICAL")


@contextmanager
def _alone_in(folder: RunFolder) -> Iterator[None]:
    """Wait until no other process works in the folder: NNI may start a run again too soon.

    A trial whose experiment was stopped ends at its next report only.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        yield
        return
    if (reason := folder.unwritable()) is not None:
        raise UnavailableError([f"the output directory of the run: {reason}"])
    folder.make()
    with folder.alone():
        yield


def _show(run: Run, folder: RunFolder) -> None:
    """Link event files for NNI's TensorBoard button; print the address of the page (local only)."""
    if os.environ.get("NNI_PLATFORM") != "local":
        return
    # http://localhost:8080[/prefix]/env/<environment>/<id>
    manager, _, _ = os.environ.get("NNI_TRIAL_COMMAND_CHANNEL", "").partition("/env/")
    port = urlsplit(manager).port
    trial = Path(os.environ["NNI_OUTPUT_DIR"])
    # <experiment>/environments/<environment>/trials/<id>
    experiment = trial.parents[3]
    if port is not None and (warning := loopback.notice(experiment, port)) is not None:
        print(warning, flush=True)
    events = folder.address(TENSORBOARD)
    try:
        show_in_nni(Path(events), experiment, trial.name)
    except OSError as error:
        print(f"NNI's TensorBoard button will not find {events}: {error}", flush=True)
    if run.stage is Stage.SEARCH and (experiment / "log" / PAGE).exists():
        print(f"the alphas are drawn at {manager}/logs/{PAGE}", flush=True)


def _wrong(error: SettingsError) -> int:
    for problem in error.problems:
        print(f"error: {printable(problem)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
