"""The commands about experiment files and past experiments: check, export and report."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from nni_darts._common import files, table
from nni_darts._common.messages import printable_lines
from nni_darts._common.table import Column
from nni_darts._common.validation import SettingsError
from nni_darts.experiment import nni_database, protocol
from nni_darts.experiment.architectures import FoundArchitecture, cells, ranked_architectures


def check(options: argparse.Namespace) -> int:
    from nni_darts.experiment import check as experiment_file

    _, settings = experiment_file.check(options.file, quick=options.quick)
    print(f"{options.file}: all is right; it runs {protocol.planned(settings)} trials")
    return 0


# export


def export(options: argparse.Namespace) -> int:
    from nni_darts.experiment.results import nothing_yet

    if options.output is not None:
        _require_writable(options.output)
    experiment = nni_database.require_experiment(options.experiment)
    best = ranked_architectures(experiment)[: options.top_k]
    if not best:
        raise nothing_yet(experiment)
    if options.format is None:
        text = _table(experiment, best)
    elif options.format == "json":
        text = json.dumps([_fields(rank, f) for rank, f in enumerate(best, 1)], indent=1)
    else:
        text = _formatted(experiment, best, options.format)
        for rank, f in enumerate(best, 1):
            score = "" if f.score is None else f", score {f.score:.4f}"
            # Not among the data, which other programs read.
            print(f"rank {rank}: {f.stage}{score}, seed {f.seed}, trial {f.trial}", file=sys.stderr)
    if options.output is None:
        print(printable_lines(text))
    else:
        _write(options.output, f"{text}\n")
    return 0


def _require_writable(path: Path) -> None:
    # What is there already is written to, be it a terminal.
    if os.path.exists(path) and not path.is_dir():
        return
    reason = files.unwritable_file(path)
    if reason is None and not path.parent.exists():
        reason = f"there is no folder {path.parent}"
    if reason is not None:
        raise SettingsError([f"cannot write {path}: {reason}"])


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError([f"cannot write {path}: {error.strerror}"]) from None


def _table(experiment: nni_database.Experiment, best: list[FoundArchitecture]) -> str:
    name, key = experiment.config().get("experimentName", ""), best[0].metric.key
    lines = [
        f"experiment {experiment.id} {name}".rstrip(),
        f"its best {len(best)}, those first that came furthest",
        f"(score: log probability under the alphas, or what the selection measured; "
        f"val {key}: trained from scratch, on validation "
        f"data; test {key}: mean over the evaluations)",
        "",
    ]
    columns = [
        Column("rank"),
        Column("stage", left=True, width=8),
        Column("genotype", left=True),
        Column("score", width=8),
        Column("seed"),
        Column("trial", left=True, width=8),
        Column(f"val {key}", width=8),
        Column(f"test {key}", width=8),
        Column("params", width=10),
        Column("mult-adds", width=13),
    ]
    head, *rows = table.lines(columns, [_row(rank, f) for rank, f in enumerate(best, 1)])
    lines.append(head)
    for row, f in zip(rows, best, strict=True):
        lines += [row, *(f"{'':>4}  {line}" for line in cells(f.text))]
    return "\n".join(lines)


def _row(rank: int, f: FoundArchitecture) -> list[str]:
    counts = ["-" if n is None else f"{n:,}" for n in (f.params, f.multiply_adds)]
    score = "-" if f.score is None else f"{f.score:.3f}"
    metrics = [_written(f, f.val), _written(f, f.test)]
    return [str(rank), str(f.stage), f.name or "-", score, str(f.seed), f.trial, *metrics, *counts]


def _written(f: FoundArchitecture, value: float | None) -> str:
    return "-" if value is None else f.metric.written(value)


def _fields(rank: int, f: FoundArchitecture) -> dict[str, Any]:
    fields = {
        "rank": rank,
        "stage": f.stage,
        "name": f.name,
        "score": f.score,
        "seed": f.seed,
        "trial": f.trial,
        f"supernet_{f.metric.key}": f.supernet,
        f.metric.val: f.val,
        f.metric.test: f.test,
        "test_std": f.test_std,
        "params": f.params,
        "multiply_adds": f.multiply_adds,
        "genotype": json.loads(f.text),
    }
    # JSON has no NaN.
    lost = {k: None for k, v in fields.items() if isinstance(v, float) and not math.isfinite(v)}
    return {**fields, **lost}


def _formatted(
    experiment: nni_database.Experiment, best: list[FoundArchitecture], format: str
) -> str:
    lines = []
    for rank, f in enumerate(best, 1):
        if not f.name:  # a sample, which has the form of NNI already
            if format != "nni":
                raise SettingsError(
                    [
                        f"experiment {experiment.id} searched a space without cells, and the "
                        f"format {format!r} is of cells; use 'nni' or 'json'"
                    ]
                )
            lines.append(f.text)
            continue
        try:
            lines.append(f.to_text(format))
        except ValueError as error:
            raise SettingsError(
                [f"rank {rank} of experiment {experiment.id} has no form {format!r}: {error}"]
            ) from None
    return "\n".join(lines)


# report


def report(options: argparse.Namespace) -> int:
    from nni_darts.experiment.report import html

    experiment = nni_database.require_experiment(options.experiment)
    path = options.output or Path(f"report-{experiment.id}.html")
    _require_writable(path)
    _write(path, html(experiment))
    print(f"written to {path}")
    return 0
