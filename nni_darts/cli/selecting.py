"""The command that selects anew after a search: select."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from nni_darts._common import signals
from nni_darts._common.messages import printable, printable_lines
from nni_darts.experiment.architectures import cells
from nni_darts.training.run_folder import GENOTYPES, RunFolder

OPTIONS = ("epochs_between", "learning_rate", "fix_alpha", "metric", "count", "batches")
"""Options of selections that the command has."""


def select(options: argparse.Namespace) -> int:
    from nni_darts.runs.reselect import reselect
    from nni_darts.training.checkpoint import CheckpointError
    from nni_darts.training.finite_losses import DivergedError
    from nni_darts.training.memory import OutOfMemoryError

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    given = {name: getattr(options, name) for name in OPTIONS if name in options}
    changes: dict[str, Any] = {"selection": {"name": options.selection, **given}}
    if options.top_k is not None:
        changes["top_k"] = options.top_k
    output = (options.output or _beside(options.checkpoint, options.selection)).absolute()
    folder = RunFolder.at(output)
    words = signals.dying(
        lambda: f"after {folder.epochs_done() or 0} epochs; go on with the same command"
    )
    try:
        with signals.handled_by(words):
            result = reselect(options.checkpoint, changes, output)
    except (DivergedError, OutOfMemoryError, CheckpointError, OSError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    rank = 1
    while f"genotype_{rank}" in result:
        text = result[f"genotype_{rank}"]
        print(f"rank {rank}: score {result[f'score_{rank}']:.4f}")
        print(printable_lines("\n".join([*(f"  {line}" for line in cells(text)), f"  {text}"])))
        rank += 1
    print(f"written to {folder.address(GENOTYPES)}")
    return 0


def _beside(checkpoint: Path, selection: str) -> Path:
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    return folder / f"select-{selection}"
