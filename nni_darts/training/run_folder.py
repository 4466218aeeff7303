"""The folder of a run: what lies there names its run, and is believed if it is whole and its own.

What is damaged is put aside with a message, and done without; what is of another run is an error,
and nothing is touched.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

from nni_darts._common import files, folder, limits
from nni_darts._common.validation import SettingsError
from nni_darts.history.record import HISTORY
from nni_darts.training.identity import Identity

LAST = "last.ckpt"
"""Everything that it takes to go on after the last epoch."""
PREVIOUS = "previous.ckpt"
"""Everything that it takes to go on after the epoch before the last one."""
BEST = "best.ckpt"
"""The weights of the epoch that is best on the validation data."""
RESULT = "result.json"
GENOTYPES = "genotypes.json"
"""The best architectures of a search after its last epoch."""
SELECTION = "selection.json"
"""Decisions of a selection that decides after the search, in their order."""
TENSORBOARD = "tensorboard"
"""A folder of event files."""
LOCK = "lock"
"""Held by the process that works in the folder."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, made by `RunFolder.at`."""

    store: folder.Folder

    @classmethod
    def at(cls, address: str | os.PathLike[str]) -> RunFolder:
        """The folder with an address, which need not exist yet."""
        return cls(folder.at(address))

    def __str__(self) -> str:
        return self.store.address()

    def address(self, name: str) -> str:
        """The path of one of its files, for messages and for other libraries."""
        return self.store.address(name)

    def make(self) -> None:
        """Make the folder where it is missing."""
        self.store.make()

    def exists(self, name: str) -> bool:
        """True if there is such a file."""
        return self.store.exists(name)

    def open(self, name: str) -> BinaryIO:
        """A file, to be read. Raises DamagedError and OSError as the `store` does."""
        return self.store.open(name)

    def read(self, name: str, most: int = limits.JSON_SIZE) -> bytes:
        """Content of a file of at most `most` bytes.

        Raises:
            DamagedError: it is no regular file, or larger.
            OSError: it cannot be read.
        """
        with self.open(name) as file:
            return files.bounded(file, most)

    def replace(self, name: str, text: str) -> None:
        """Replace a file as a whole. Raises OSError as the `store` does."""
        self.store.replace(name, text.encode("utf-8"))

    def put_aside(self, name: str, why: str, then: str) -> None:
        """Rename a damaged file, and say so in a line."""
        kept = f"{name}.damaged"
        self.store.rename(name, kept)
        print(f"{self.address(name)} {why}: it is put aside as {kept}; {then}", flush=True)

    def unwritable(self) -> str | None:
        """Reason why the folder, which need not exist yet, cannot be written to, or None."""
        return self.store.unwritable()

    def alone(self) -> AbstractContextManager[None]:
        """Wait until no other process works in the folder, and keep it from others."""
        return self.store.locked(LOCK)

    # How far it has come

    def epochs_done(self) -> int | None:
        """Number of epochs that the run has behind it; None where that cannot be told."""
        try:
            text = self.read(HISTORY).decode("utf-8")
            rows = csv.DictReader(io.StringIO(text, newline=""))
            return max((int(row["epoch"]) + 1 for row in rows), default=0)
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError, csv.Error):
            return None

    def where(self, epochs: int) -> str:
        """The epoch in which the run is, in words.

        Args:
            epochs: of the whole run.
        """
        done = self.epochs_done()
        if done is None:
            return "in an unknown epoch"
        return f"in epoch {done + 1} of {epochs}" if done < epochs else f"after its {epochs} epochs"

    # Its result

    def keep_result(self, identity: Identity, result: Mapping[str, Any]) -> None:
        """Keep the result of the run."""
        named = {"key": identity.key, "settings": identity.digest, "result": dict(result)}
        self.replace(RESULT, json.dumps(named, indent=1))

    def result(self, identity: Identity) -> dict[str, Any] | None:
        """The result of a run that was over before; None where there is none, or it is damaged.

        Raises:
            SettingsError: it is another run's.
            OSError: it cannot be read.
        """
        if not self.exists(RESULT):
            return None
        try:
            named = files.parse_json(self.read(RESULT), dict)
            if not isinstance(named.get("result"), dict) or not named["result"]:
                raise files.DamagedError("does not hold the result of a run")
        except files.DamagedError as error:
            self.put_aside(RESULT, str(error), "the run goes on without it")
            return None
        path = self.address(RESULT)
        if (named.get("key"), named.get("settings")) != (identity.key, identity.digest):
            raise SettingsError(
                [
                    f"{path} is the result of another run ({named.get('key')}, settings "
                    f"{named.get('settings')}; this is {identity.key}, settings {identity.digest});"
                    " take it out of the folder"
                ]
            )
        print(f"this run was over before; its result is in {path}", flush=True)
        result: dict[str, Any] = named["result"]
        return result
