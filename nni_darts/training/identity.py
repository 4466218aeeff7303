"""Identity of a run: all that tells it from every other one, and the check of a file against it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from nni_darts._common.redaction import redacted
from nni_darts._common.validation import SettingsError


@dataclass(frozen=True)
class Identity:
    """Key and settings that tell a run from every other one."""

    key: str
    """The text of a `nni_darts.runs.run_key.RunKey`, or a name."""
    what: str
    """JSON: all that decides what comes out of it; settings of the machine are none of it."""

    @property
    def digest(self) -> str:
        """Short hash of `what`."""
        return hashlib.sha256(self.what.encode()).hexdigest()[:16]

    def require(self, theirs: object, address: str) -> None:
        """SettingsError where what a file says of its run is not this run's `what`.

        Args:
            theirs: what it says.
            address: of the file, for the message.
        """
        new, old = _flat(self.what), _flat(theirs)
        assert new is not None, "it was made here"
        if old is None:
            raise SettingsError(
                [
                    f"{address} does not say which run it is of (another program wrote it, or an "
                    "older version); choose another output directory, or take it out of this one"
                ]
            )
        # A setting that is as it was when there was no choice is in neither.
        if names := [name for name in {**new, **old} if old.get(name) != new.get(name)]:
            there, here = (redacted(values.get(names[0]), names[0]) for values in (old, new))
            raise SettingsError(
                [
                    f"{address} is of another run ({names[0]} is {there!r} there and "
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
