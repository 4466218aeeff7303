"""The few things that tuner and assessor ask of NNI's manager itself, by its REST interface."""

from __future__ import annotations

import json
import os
import urllib.request


def set_max_trials(number: int) -> None:
    """Set maxTrialNumber, which is when NNI ends an experiment; as `nnictl update trialnum` does.

    Nothing happens where there is no manager. Raises OSError where it does not answer.
    """
    if (url := address()) is None:
        return
    request = urllib.request.Request(
        f"{url}/experiment?update_type=MAX_TRIAL_NUM",
        json.dumps({"params": {"maxTrialNumber": number}}).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=20):
        pass


def cancel(trial: str) -> None:
    """End a trial, as the web UI does. As `set_max_trials` where there is no manager."""
    if (url := address()) is not None:
        request = urllib.request.Request(f"{url}/trial-jobs/{trial}", method="DELETE")
        with urllib.request.urlopen(request, timeout=20):
            pass


def address() -> str | None:
    """Of the manager's REST interface; None where there is no manager."""
    # The manager tells its tuner this one address: ws://localhost:8080[/prefix]/tuner
    channel = os.environ.get("NNI_TUNER_COMMAND_CHANNEL", "")
    if not (channel.startswith("ws://") and channel.endswith("/tuner")):
        return None
    return f"http://{channel.removeprefix('ws://').removesuffix('/tuner')}/api/v1/nni"
