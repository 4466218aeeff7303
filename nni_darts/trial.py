"""One run, as NNI starts it: `python -m nni_darts.trial`.

A trial is stateless: all it needs is in its parameters. It writes a checkpoint to its output
directory after every epoch and goes on from there when NNI runs it again. It exits with 0 when it
is done, 2 when its settings are wrong, 1 when the search diverged; the reason is its last line.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import nni
from nni.runtime.env_vars import trial_env_vars
from nni.runtime.trial_command_channel import get_default_trial_command_channel

from nni_darts.config import SettingsError, parse_run


def main() -> int:
    """Run what NNI asks for."""
    # NNI 3.0 wonders aloud about today's torch, and Lightning advertises; the log is for the user.
    warnings.filterwarnings("ignore", module=r"nni\.|pytorch_lightning\.|torch\.")
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
        number = sequence if kind == "PERIODICAL" else 0
        channel.send_metric(kind, parameter_id, job, number, report)
        sequence += 1

    try:
        run = parse_run(parameters)
    except SettingsError as error:
        return _wrong(error)

    # Only now what takes seconds to import.
    from nni_darts.oneshot import DivergedError
    from nni_darts.stages import STAGES

    # Lightning sets its own level when it is imported.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    try:
        result = STAGES[run.stage](run, Path(os.environ["NNI_OUTPUT_DIR"]), send)
    except SettingsError as error:
        return _wrong(error)
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    send(result, "FINAL")
    print(f"best: {result['genotype_1']} (score {result['score_1']:.3f})")
    return 0


def _wrong(error: SettingsError) -> int:
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
