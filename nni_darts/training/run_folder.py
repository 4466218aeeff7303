"""The folder of a run: what lies there names its run, and is believed if it is whole and its own.

What is damaged is put aside with a message, and done without; what is of another run is an error,
and nothing is touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nni_darts._common import files
from nni_darts._common.redaction import redacted
from nni_darts._common.validation import SettingsError

LAST = "last.ckpt"
"""Everything that it takes to go on after the last epoch."""
PREVIOUS = "previous.ckpt"
"""The same of the epoch before."""
BEST = "best.ckpt"
"""The weights of the epoch that is best on the validation data."""
RESULT = "result.json"
HISTORY = "history.csv"


@dataclass(frozen=True)
class Identity:
    """What tells a run from every other one."""

    key: str
    """`nni_darts.runs.run_key.key`, or a name."""
    what: str
    """JSON: all that decides what comes out of it; settings of the machine are none of it."""

    @property
    def digest(self) -> str:
        """Of the settings."""
        return hashlib.sha256(self.what.encode()).hexdigest()[:16]

    def require(self, theirs: object, path: Path) -> None:
        """SettingsError where what a file says of its run is not this run's `what`."""
        new, old = _flat(self.what), _flat(theirs)
        assert new is not None, "it was made here"
        if old is None:
            raise SettingsError(
                [
                    f"{path} does not say which run it is of (another program wrote it, or an "
                    "older version); choose another output directory, or take it out of this one"
                ]
            )
        # A setting that is as it was when there was no choice is in neither.
        if names := [name for name in {**new, **old} if old.get(name) != new.get(name)]:
            there, here = (redacted(values.get(names[0]), names[0]) for values in (old, new))
            raise SettingsError(
                [
                    f"{path} is of another run ({names[0]} is {there!r} there and "
                    f"{here!r} here); choose another output directory, or the same "
                    "settings to go on with it"
                ]
            )


def _flat(what: object) -> dict[str, Any] | None:
    try:
        values = json.loads(what) if isinstance(what, str) else None
        return {**values.pop("settings"), **values} if isinstance(values, dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def put_aside(path: Path, why: str, then: str) -> None:
    """Rename a damaged file, and say so in a line."""
    kept = path.with_name(f"{path.name}.damaged")
    path.replace(kept)
    print(f"{path} {why}: it is put aside as {kept.name}; {then}", flush=True)


def write_result(folder: Path, identity: Identity, result: Mapping[str, Any]) -> None:
    """Keep the result of a run."""
    named = {"key": identity.key, "settings": identity.digest, "result": dict(result)}
    files.write(folder / RESULT, json.dumps(named, indent=1))


def read_result(folder: Path, identity: Identity) -> dict[str, Any] | None:
    """The result of a run that was over before; None where there is none, or it is damaged.

    Raises:
        SettingsError: it is another run's.
        OSError: it cannot be read.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        named = files.read_json(path, dict)
        if not isinstance(named.get("result"), dict) or not named["result"]:
            raise files.DamagedError("does not hold the result of a run")
    except files.DamagedError as error:
        put_aside(path, str(error), "the run goes on without it")
        return None
    if (named.get("key"), named.get("settings")) != (identity.key, identity.digest):
        raise SettingsError(
            [
                f"{path} is the result of another run ({named.get('key')}, settings "
                f"{named.get('settings')}; this is {identity.key}, settings {identity.digest}); "
                "take it out of the folder"
            ]
        )
    print(f"this run was over before; its result is in {path}", flush=True)
    result: dict[str, Any] = named["result"]
    return result
