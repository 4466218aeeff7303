"""A selection on a search that is over, from its last checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nni_darts._common.validation import SettingsError
from nni_darts.runs.identity import run_of
from nni_darts.runs.stages import Begin, search
from nni_darts.search.closing_epochs import KEY
from nni_darts.tasks.registry import parse_run
from nni_darts.tasks.settings import Run
from nni_darts.training import checkpoint
from nni_darts.training.run_folder import LAST
from nni_darts.training.trainer_options import SIGNATURE


def reselect(path: Path, changes: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """Select anew; goes on where it was stopped in the same output folder.

    Args:
        path: the checkpoint, or the folder of the run that has it.
        changes: settings of the search that are to be others: its `selection`, say.
        output: folder for all that is written.

    Returns:
        The result of the search with this selection.

    Raises:
        SettingsError: in one line, it is no checkpoint of a search that is over.
        CheckpointError: it cannot be read.
    """
    path = path / LAST if path.is_dir() else path
    run, begin = of_checkpoint(path, changes)
    return search(run, output, lambda report: None, begin)


def of_checkpoint(path: Path, changes: Mapping[str, Any]) -> tuple[Run, Begin]:
    """The run of a search that is over, with other settings, and its last state."""
    content = checkpoint.content(path)
    said = content.get(SIGNATURE) if isinstance(content, dict) else None
    try:
        assert isinstance(said, dict)
        values = run_of(said["what"])
        epochs, history = int(content["epoch"]) + 1, str(said["history"])
        planned = parse_run(values).search
        assert planned is not None
    except (AssertionError, ValueError, KeyError, TypeError, RecursionError):
        raise SettingsError(
            [
                f"{path} is no checkpoint of a search, in whose folder it is called {LAST}; give "
                "the path of one"
            ]
        ) from None
    if content.get(KEY):
        raise SettingsError(
            [
                f"{path}: its search has gone on with a selection of its own; give the checkpoint "
                "of a search by selection strongest or subnets"
            ]
        )
    if epochs < planned.epochs:
        raise SettingsError(
            [
                f"{path}: its search has done {epochs} of {planned.epochs} epochs; go on with it "
                "first"
            ]
        )
    run = parse_run({**values, "search": {**values["search"], **changes}})
    return run, Begin(os.fspath(path), history)
