"""Results of an experiment as a table: a row per run, however often it was tried."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nni_darts._common import files
from nni_darts._common.metric import Metric, metric_of
from nni_darts._common.table import Column, lines
from nni_darts._common.validation import SettingsError
from nni_darts.experiment import protocol
from nni_darts.experiment.architectures import ranked_architectures, short_name, trained_name
from nni_darts.experiment.ledger import Ledger, read_ledger
from nni_darts.experiment.nni_database import TUNER, Experiment, StoredError, Trial
from nni_darts.runs.run_key import RunKey
from nni_darts.tasks.registry import parse, task_of
from nni_darts.tasks.settings import Settings
from nni_darts.tasks.stage import Stage

_WHOLE = ("seed", "params", "multiply_adds", "best_epoch", "epochs")
_LEFT = ("stage", "genotype", "device", "weights")


def columns(metric: Metric) -> tuple[str, ...]:
    """Names of the columns of results.csv.

    `genotype` is a short name for `architecture`, the genotype as JSON; a search's metric is its
    supernet's; `best_epoch` counts from 0.
    """
    return (
        "stage",
        "seed",
        "genotype",
        "params",
        "multiply_adds",
        metric.val,
        metric.test,
        "val_loss",
        "test_loss",
        "best_epoch",
        "epochs",
        "seconds",
        "device",
        "weights",
        "trial",
        "status",
        "key",
        "architecture",
    )


def supernet(metric: Metric) -> str:
    """Note on the metric of a search."""
    return f"{metric.val} of a search is its supernet's, which does not rank cells"


def table(experiment: Experiment) -> pd.DataFrame:
    """A row per run that has a result, or has failed and is not being tried again, by stage."""
    tuner = experiment.config().get("tuner") or {}
    names = columns(task_of(tuner.get("classArgs") or {}).metric)
    rows: dict[str, dict[str, Any]] = {}
    for trial in experiment.trials():
        if trial.key is None:
            continue
        if trial.result is not None:
            rows[trial.key] = _row(trial, trial.result, names)
        elif rows.get(trial.key, {}).get("status") == "SUCCEEDED":
            continue
        elif trial.alive:
            rows.pop(trial.key, None)
        else:
            rows[trial.key] = _failed_row(trial, trial.key)
    order = sorted(rows.values(), key=_place)
    made = pd.DataFrame(order, columns=list(names))
    return made.astype(dict.fromkeys(_WHOLE, "Int64"))


def _place(row: Mapping[str, Any]) -> tuple[int, str, int]:
    """Searches by seed; trainings by genotype, each by seed."""
    stage = Stage(row["stage"])
    return stage.number, "" if stage is Stage.SEARCH else row["genotype"], row["seed"]


def _row(trial: Trial, result: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    architecture = result.get("genotype", result.get("genotype_1"))
    name = short_name if result.get("stage") == "search" else trained_name
    known = {name: result[name] for name in names if name in result}
    return {
        **known,
        "genotype": name(str(architecture)),
        "architecture": architecture,
        "trial": trial.id,
        "status": "SUCCEEDED",
    }


def _failed_row(trial: Trial, key: str) -> dict[str, Any]:
    run = RunKey.parse(key)
    # A trial may end in peace and yet have handed in no result.
    status = "FAILED" if trial.status == "SUCCEEDED" else trial.status
    return {
        "stage": run.stage.value,
        "seed": run.seed,
        "genotype": run.genotype or "",
        "trial": trial.id,
        "status": status,
        "key": key,
    }


def write(experiment: Experiment) -> None:
    """results.csv in the experiment's folder."""
    files.write(experiment.folder / "results.csv", table(experiment).to_csv(index=False))


def settings(experiment: Experiment) -> Settings:
    """The settings of an experiment.

    Raises:
        StoredError: NNI has not stored them yet; or it is not an experiment of ours, or was
            started with wrong settings.
    """
    tuner = experiment.config().get("tuner")
    if not tuner:
        raise StoredError(f"experiment {experiment.id} has no settings yet; wait until it runs")
    if tuner.get("className") != TUNER:
        raise StoredError(
            f"experiment {experiment.id} is not one of nni-darts: its tuner must be {TUNER}, "
            f"got {tuner.get('className')!r}"
        )
    try:
        return parse(tuner.get("classArgs") or {})
    except SettingsError as error:
        raise StoredError(
            f"experiment {experiment.id} was started with wrong settings: "
            f"{'; '.join(error.problems)}"
        ) from None


def ledger(experiment: Experiment) -> Ledger:
    """Ledger of the runs that are done, failed or under way: the tuner's, brought up to date."""
    known = read_ledger(experiment.folder / "checkpoint" / "nni_darts.json")
    known.update(experiment.trials())
    return known


def nothing_yet(experiment: Experiment) -> StoredError:
    """The error where there is nothing to show."""
    states = ", ".join(f"{t.id} {t.status.lower()}" for t in experiment.trials()) or "none yet"
    return StoredError(
        f"no run of experiment {experiment.id} has ended with a result; trials: {states}"
    )


def readable(results: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Columns of the results that a user looks at first, as text.

    Args:
        results: as `table` gives them.
        folder: weights are given as paths from here (see `weights_folder`).
    """
    metric = metric_of(results)
    shown = results[["stage", "seed", "genotype", "params", metric.val, metric.test, "weights"]]
    forms: dict[str, Any] = {
        "params": "{:,}".format,
        metric.val: metric.written,
        metric.test: metric.written,
        "weights": lambda path: _below(Path(path), folder),
    }
    columns = {
        str(name): [_shown(value, forms.get(str(name), str)) for value in column]
        for name, column in shown.items()
    }
    text = pd.DataFrame(columns, index=results.index)
    failed = results["status"] != "SUCCEEDED"
    text.loc[failed, "weights"] = results.loc[failed, "status"].str.lower()
    return text


def weights_folder(results: pd.DataFrame, folder: Path) -> Path:
    """The folder that has the folders of all weights; the experiment's where there are none."""
    runs = [Path(path).parents[1] for path in results["weights"].dropna()]
    return Path(os.path.commonpath(runs)) if runs else folder


def _shown(value: Any, form: Any) -> str:
    return "-" if pd.isna(value) or value == "" else str(form(value))


def _below(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def aligned(text: pd.DataFrame) -> list[str]:
    """A table of text as lines: names to the left, numbers to the right, nothing padded."""
    columns = [Column(str(name), left=name in _LEFT) for name in text.columns]
    return lines(columns, text.to_numpy().tolist())


def summary(experiment: Experiment) -> str:
    """The table of all runs, and what follows from them."""
    results = table(experiment)
    name = experiment.config().get("experimentName", "")
    said = [f"experiment {experiment.id} {name}".rstrip(), f"files in {experiment.folder}"]
    if not results.empty:
        folder = weights_folder(results, experiment.folder)
        said += [f"weights in {folder}", "", *aligned(readable(results, folder)), ""]
    if Stage.SEARCH in set(results["stage"]):
        said.append(f"({supernet(metric_of(results))})")
    said += [
        f"{f.name}: test {f.metric.name} {f.tested}"
        for f in ranked_architectures(experiment)
        if f.tests
    ]
    known = ledger(experiment)
    best = protocol.winner(settings(experiment), known.results, known.failures)
    if best is not None:
        said.append(f"selected {trained_name(best)}: {best}")
    return "\n".join(said)
