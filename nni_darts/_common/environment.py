"""A Python that lacks what nni-darts needs, as on a remote machine: which one, and what to install.

Nothing but the standard library is imported before it is known to be there.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from contextlib import suppress

UNABLE = "unable"
"""Key of the report by which a trial says that its machine can run no trial."""

PACKAGES: Mapping[str, str] = {
    "PIL": "pillow",
    "filelock": "filelock",
    "jinja2": "Jinja2",
    "matplotlib": "matplotlib",
    "nni": "nni",
    "numpy": "numpy",
    "pandas": "pandas",
    "psutil": "psutil",
    "pydantic": "pydantic",
    "pytorch_lightning": "pytorch-lightning",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
    "torchvision": "torchvision",
    "websockets": "websockets",
    "yaml": "PyYAML",
}
"""Modules that are imported, with the packages that contain them."""


_BEGINNING = "error: this Python, "
_NOT_OURS = re.compile(r"(?P<python>(?!\w+Error:)\S+): .*No module named '?nni_darts\b")


def lacking(error: ModuleNotFoundError) -> str | None:
    """Message that names a missing package, its Python and the remedy; None for other modules."""
    package = PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        return None
    return (
        f"this Python, {sys.executable}, version {platform.python_version()} on {platform.node()}, "
        f"lacks {error.name}, which nni-darts needs; install it there: "
        f"{sys.executable} -m pip install '{package}' (all that it needs: pip install nni-darts), "
        "or name another Python: trialCommand, or pythonPath of a remote machine"
    )


def unable(error: ModuleNotFoundError) -> int:
    """Say so, to the tuner, too: this is no failure of the run. Returns the exit status.

    Raises:
        ModuleNotFoundError: the same, where something else is missing.
    """
    text = lacking(error)
    if text is None:
        raise error
    with suppress(Exception):  # without nni, there is nobody to tell
        _tell(text)
    print(f"error: {text}", file=sys.stderr)
    return 1


def last_words(log: str) -> str | None:
    """Reason that the standard error of a trial gives for its end, if its Python was the cause.

    Without nni, there was no way to tell the tuner; without nni-darts, Python itself says so.
    """
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    if last.startswith(_BEGINNING):
        return last.removeprefix("error: ")
    found = _NOT_OURS.match(last)
    if found is None:
        return None
    return (
        f"the trial's Python, {found['python']}, lacks nni-darts; install it there: "
        f"{found['python']} -m pip install nni-darts, or name another Python: trialCommand, or "
        "pythonPath of a remote machine"
    )


def _tell(text: str) -> None:
    import nni
    from nni.runtime.env_vars import trial_env_vars
    from nni.runtime.trial_command_channel import get_default_trial_command_channel

    if nni.trial._params is None:
        # NNI would hand these parameters to the next trial that asks.
        nni.get_next_parameter()
    get_default_trial_command_channel().send_metric(
        "PERIODICAL",
        nni.trial._params["parameter_id"],
        trial_env_vars.NNI_TRIAL_JOB_ID,
        0,
        {UNABLE: text},
    )
