"""history.csv of a run: written after every epoch, read back to go on and for pictures."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from nni_darts._common import files, limits
from nni_darts.history.flat import epoch_of, from_flat, to_flat
from nni_darts.history.record import HISTORY, EpochRecord

__all__ = ["History", "read", "records_of"]

_MAX_SIZE = 50_000_000  # bytes; a search of 1,000 epochs needs a few million
_MAX_CELLS = 5_000_000  # each takes far more memory than it has bytes
_MAX_EPOCH = 100_000  # curves have a point for each


def read(path: Path) -> list[EpochRecord]:
    """A search's epochs, ascending; of an epoch that stands there twice, the last row.

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
        return records_of(table.to_dict("records"))
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def records_of(reports: Iterable[Mapping[Any, Any]]) -> list[EpochRecord]:
    """Records from the reports of one search; a report without its epoch is left out.

    Raises:
        ValueError: one line, whose subject is to be put before it.
    """
    found = [from_flat(report) for report in reports if epoch_of(report) is not None]
    records = {record.epoch: record for record in found if record.epoch <= _MAX_EPOCH}
    if not records:
        raise ValueError("has no epochs: expected the history.csv of a search, with a column epoch")
    if not any(record.weights for record in records.values()):
        raise ValueError(
            "has no weights of edges (columns such as 'n2<0 sep3') or of other choices ('LABEL "
            "CANDIDATE'): expected the history.csv of a search"
        )
    return [records[epoch] for epoch in sorted(records)]


class Files(Protocol):
    """Files of a folder by their names (`nni_darts.training.run_folder.RunFolder`)."""

    def exists(self, name: str) -> bool:
        """True if there is such a file."""

    def read(self, name: str) -> bytes:
        """Content of a file."""

    def replace(self, name: str, text: str) -> None:
        """Replace a file as a whole."""

    def put_aside(self, name: str, why: str, then: str) -> None:
        """Take a damaged file out of the way, and say why, and what follows."""


class History:
    """history.csv of one run, written whole after every epoch.

    Rows of epochs that a resumed run does again are dropped. A damaged file is put aside with a
    message, and the history begins anew.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Files) -> None:
        self.folder = folder

    def records(self) -> list[EpochRecord]:
        """One per epoch; none before the first one."""
        return [from_flat(row) for row in self._table().to_dict("records")]

    def add(self, record: EpochRecord) -> None:
        """Add an epoch; the epochs from it on that are there already go."""
        row, before = pd.DataFrame([to_flat(record)]), self._table()
        if len(before):
            row = pd.concat([before[before["epoch"] < record.epoch], row])
        self.folder.replace(HISTORY, row.to_csv(index=False))

    def _table(self) -> pd.DataFrame:
        """Table as it is written, so that the rows of earlier epochs stay what they are."""
        if not self.folder.exists(HISTORY):
            return pd.DataFrame()
        try:
            table = pd.read_csv(io.BytesIO(self.folder.read(HISTORY)), low_memory=False)
            table = table.astype({"epoch": "int64", "default": "float64"})
            if not table["epoch"].between(0, limits.EPOCHS).all():
                raise ValueError("epochs that are none")
        except (ValueError, KeyError, OverflowError):  # pandas' own, and a UnicodeDecodeError
            self.folder.put_aside(HISTORY, "is damaged", "what it told of earlier epochs is lost")
            return pd.DataFrame()
        return table
