"""history.csv of a search, read back for its pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nni_darts._common import files
from nni_darts.history.choice_weights import choices_of
from nni_darts.history.epoch import alphas_of

__all__ = ["read", "table_of"]

_MAX_SIZE = 50_000_000  # bytes; a search of 1,000 epochs needs a few million
_MAX_CELLS = 5_000_000  # each takes far more memory than it has bytes
_MAX_EPOCH = 100_000


def read(path: Path) -> pd.DataFrame:
    """A row per epoch, ascending; of an epoch that stands there twice, the last row.

    Raises:
        ValueError: one line: the file cannot be read, or is no history of a search.
    """
    try:
        content = files.read_regular(path, _MAX_SIZE)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except files.DamagedError as error:
        raise ValueError(f"{path} {error}; give the history.csv of a search") from None
    columns = content.partition(b"\n")[0].count(b",") + 1
    if columns * (content.count(b"\n") + 1) > _MAX_CELLS:
        raise ValueError(f"{path} has more cells than any history.csv of a search")
    try:
        table = pd.read_csv(io.BytesIO(content), low_memory=False)
    except (ValueError, OverflowError) as error:  # pandas' own, and a UnicodeDecodeError
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is not a table of comma-separated values: {why[0]}") from None
    try:
        return table_of([{str(k): v for k, v in row.items()} for row in table.to_dict("records")])
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def table_of(reports: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The same of reports of one run; a report without its epoch is left out.

    Raises:
        ValueError: one line, whose subject is to be put before it.
    """
    rows: dict[int, Mapping[str, Any]] = {}
    for report in reports:
        epoch = _epoch(report.get("epoch"))
        if epoch is not None:
            rows[epoch] = {**report, "epoch": epoch}
    if not rows:
        raise ValueError("has no epochs: expected the history.csv of a search, with a column epoch")
    if not any(alphas_of(row) or choices_of(row) for row in rows.values()):
        raise ValueError(
            "has no weights of edges (columns such as 'n2<0 sep3') or of other choices ('LABEL "
            "CANDIDATE'): expected the history.csv of a search"
        )
    return pd.DataFrame([rows[epoch] for epoch in sorted(rows)])


def _epoch(value: Any) -> int | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and 0 <= number <= _MAX_EPOCH else None
