"""The commands that draw: draw, plot and animate."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nni_darts._common.validation import SettingsError
from nni_darts.experiment import nni_database
from nni_darts.genotypes import published
from nni_darts.history.flat import from_flat
from nni_darts.history.gaps import gaps
from nni_darts.history.record import EpochRecord


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn a ValueError into an error of one line for the user, in a `with` block."""
    try:
        yield
    except ValueError as error:
        raise SettingsError([str(error)]) from None


def draw(options: argparse.Namespace) -> int:
    from nni_darts.pictures import drawing

    with _one_line():
        drawing.format_of(options.output)
        drawing.require_writable(options.output)
        genotype = published.from_argument(options.genotype)
        drawing.draw(genotype, options.output)
    print(f"written to {options.output}")
    return 0


def plot(options: argparse.Namespace) -> int:
    from nni_darts.pictures import drawing as pictures

    with _one_line():
        pictures.format_of(options.output)
        pictures.require_writable(options.output)
        records = _history(options.history)
        pictures.plot_history(records, options.output)
    _say_what_is_missing(records)
    print(f"written to {options.output}: {_epochs(len(records))}")
    return 0


def animate(options: argparse.Namespace) -> int:
    from nni_darts.pictures import drawing as pictures
    from nni_darts.pictures.animation import animation, frames_of

    with _one_line():
        pictures.format_of(options.output, ["gif"])
        pictures.require_writable(options.output)
        records = _history(options.history)
        frames = frames_of(records)
        if not frames:
            raise ValueError(f"{options.history}: no epoch has the weights of a whole cell")
        pictures.write_bytes(options.output, animation(frames))
    _say_what_is_missing(records)
    print(f"written to {options.output}: {_epochs(len(frames))}")
    return 0


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count != 1)}"


def _say_what_is_missing(records: list[EpochRecord]) -> None:
    for line in gaps(records):
        print(f"note: {line}", file=sys.stderr)


# What a user means by a history


def _history(text: str) -> list[EpochRecord]:
    """History from a history.csv, a trial's id, or a run of the latest experiment.

    Raises:
        ValueError: one line.
    """
    from nni_darts.history import csv_file

    if os.path.exists(text) or os.sep in text or text.endswith(".csv"):
        return csv_file.read(Path(text))
    trial = _trial(text)
    try:
        return csv_file.records_of([trial.reports[epoch] for epoch in sorted(trial.reports)])
    except ValueError:
        raise ValueError(
            f"trial {trial.id} ({trial.key or 'which has not said its run'}) has not reported "
            "weights of edges; only searches for cells do, after each epoch"
        ) from None


def _trial(text: str) -> nni_database.Trial:
    """Trial of an experiment of ours by its id, or of the latest experiment by its run."""
    searches: list[str] = []
    latest = True
    for experiment in nni_database.experiments():
        if not experiment.is_ours():
            continue
        try:
            trials = experiment.trials()
        except nni_database.StoredError:
            continue  # of another experiment than the one that is asked for, most likely
        for trial in reversed(trials):
            if text == trial.id or (latest and text == trial.key):
                return trial
        if latest:
            searches = [_named(trial) for trial in trials if _searched(trial)]
        latest = False
    known = ", ".join(searches) or "none"
    raise ValueError(
        f"{text!r} is neither a file nor a trial of an experiment of nni-darts on this machine; "
        f"searches of the latest one: {known}"
    )


def _searched(trial: nni_database.Trial) -> bool:
    return any(from_flat({**report, "epoch": 0}).weights for report in trial.reports.values())


def _named(trial: nni_database.Trial) -> Any:
    return f"{trial.key} (trial {trial.id})" if trial.key else trial.id
