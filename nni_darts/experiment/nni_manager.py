"""Requests of tuner and assessor to NNI's manager itself, by its REST interface.

Nothing is asked of a manager that serves another experiment: ports change hands.
"""

from __future__ import annotations

import json
import os
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import psutil

_TIMEOUT = 20  # seconds, NNI's own


def set_max_trials(experiment: str, number: int) -> None:
    """Set maxTrialNumber, which is when NNI ends an experiment; as `nnictl update trialnum` does.

    Nothing happens where there is no manager. Raises OSError where it does not answer, or serves
    another experiment.
    """
    if (url := address()) is None:
        return
    require(url, experiment)
    request = urllib.request.Request(
        f"{url}/experiment?update_type=MAX_TRIAL_NUM",
        json.dumps({"params": {"maxTrialNumber": number}}).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT):
        pass


def cancel(experiment: str, trial: str) -> None:
    """End a trial, as the web UI does; nothing happens where there is no manager."""
    if (url := address()) is not None:
        require(url, experiment)
        request = urllib.request.Request(f"{url}/trial-jobs/{trial}", method="DELETE")
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            pass


def served_experiment(url: str) -> Any:
    """Id of the experiment that a manager serves; OSError if none answers."""
    try:
        with urllib.request.urlopen(f"{url}/experiment", timeout=_TIMEOUT) as answer:
            profile = json.load(answer)
    except (ValueError, RecursionError):
        profile = None
    except HTTPException as error:  # a server of something else
        raise OSError(f"{url} does not speak HTTP ({type(error).__name__})") from None
    return profile.get("id") if isinstance(profile, dict) else None


def require(url: str, experiment: str) -> None:
    """Raise OSError unless a manager serves the experiment."""
    if (found := served_experiment(url)) != experiment:
        raise OSError(f"{url} serves experiment {found}, not {experiment}: it is not asked")


def address() -> str | None:
    """Address of the manager's REST interface; None if there is no manager."""
    # The manager tells its tuner this one address: ws://localhost:8080[/prefix]/tuner
    channel = os.environ.get("NNI_TUNER_COMMAND_CHANNEL", "")
    if not (channel.startswith("ws://") and channel.endswith("/tuner")):
        return None
    return f"http://{channel.removeprefix('ws://').removesuffix('/tuner')}/api/v1/nni"


def port() -> int | None:
    """Port of the manager; None if there is none."""
    url = address()
    return None if url is None else urlsplit(url).port


def process(experiment: str) -> psutil.Process | None:
    """Process of an experiment's manager, one of whose descendants this process is."""
    try:
        ancestors = psutil.Process().parents()
        managers = [p for p in ancestors if {"--experiment-id", experiment} <= set(p.cmdline())]
    except psutil.Error:
        return None
    # The command line of a shell between the two is one string.
    return managers[0] if managers else None


def start_time(experiment: str) -> int:
    """Start time of an experiment's manager, in milliseconds since 1970; 0 if none is found."""
    found = process(experiment)
    return 0 if found is None else int(found.create_time() * 1000)
