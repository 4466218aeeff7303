"""Runs that are done, under way, failed or lost, from NNI's records and from what was issued.

NNI gives parameters to whichever trial asks first, so that the trial it names beside a run may be
another's; a trial that dies before it asks leaves its parameters to the next one. Only what a trial
reports itself tells which run it was. A trial that ended without a report was one of the runs that
no other trial accounts for: once no such trial is alive, those runs have failed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nni_darts._common import files, limits
from nni_darts._common.messages import say_once
from nni_darts.experiment import rows
from nni_darts.experiment.nni_database import RESUMED, STOPPED, Trial
from nni_darts.experiment.protocol import ATTEMPTS


@dataclass
class Ledger:
    """Attempts at each run, by its key. From `results` on, all follows from the trials."""

    issued: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    """Attempts that failed without having reported anything."""
    lost: Counter[str] = field(default_factory=Counter)
    """Attempts that never became a trial, or whose trial ran something else: not failures."""
    dropped: int = 0
    """Number of attempts without a trial when the experiment was stopped."""
    seen: int = 0
    """Number of the latest event of a trial that was taken account of."""
    resumed: int = -1
    """Number of the latest event when the experiment was last resumed."""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    """Runs whose last attempt was interrupted since the last resume, with the cause."""
    failures: Counter[str] = field(default_factory=Counter)
    pending: Counter[str] = field(default_factory=Counter)
    """Attempts that are under way or waiting."""
    _forgotten: set[str] = field(default_factory=set)

    def issue(self, key: str) -> None:
        self.issued[key] += 1
        self.pending[key] += 1

    def withdraw(self, key: str) -> None:
        """Take back an attempt that was not issued after all."""
        self.issued[key] -= 1
        self.pending[key] -= 1

    def resume(self, trials: Sequence[Trial], started: int = 0) -> None:
        """Note the attempts without a trial after a restart: NNI will never make one of them.

        Args:
            trials: all trials that NNI knows.
            started: start of the manager, in milliseconds since 1970; 0 if it is not known.
        """
        self.dropped = self.issued.total() - len(trials)
        self.resumed = max((t.event for t in trials), default=-1)
        # NNI forgets a trial that it was about to resume when it was stopped again, which may have
        # been before anything was taken account of.
        self._forgotten = {
            t.id
            for t in trials
            if t.status == RESUMED and (t.event <= self.seen or t.time < started)
        }

    def update(self, trials: Sequence[Trial]) -> None:
        """Take account of all trials that NNI knows."""
        self.results |= {str(t.key): t.result for t in trials if t.key and t.result}
        self.seen = max((t.event for t in trials), default=0)
        done = Counter(str(t.key) for t in trials if t.result)
        alive = [t for t in trials if t.alive and not t.result and t.id not in self._forgotten]
        failed = [t for t in trials if not t.alive and not t.result and t.unable is None]
        under_way = Counter(t.key for t in alive if t.key)
        told = Counter(t.key for t in failed if t.key)
        # Counter's difference keeps what is positive.
        open_ = self.issued - self.lost - self.silent - told - done - under_way
        waiting = self.issued.total() - self.dropped - len(trials)
        if waiting <= 0 and all(t.key for t in alive):
            # No trial is left that could be running these.
            silently = sum(not t.key for t in failed) > self.silent.total()
            (self.silent if silently else self.lost).update(open_)
            open_ = Counter()
        interrupted = {str(t.key): t for t in failed if t.key and t.cause}
        self.failures = self.silent + Counter(t.key for t in failed if t.key and not t.cause)
        for trial in failed:
            if trial.key and trial.status == STOPPED:
                # Not by accident: it would only be stopped again.
                self.failures[trial.key] = ATTEMPTS
        self.pending = open_ + under_way
        self.held = {
            key: str(trial.cause)
            for key, trial in interrupted.items()
            if trial.event > self.resumed and key not in self.results and not self.pending[key]
        }

    # The state that outlives a restart.

    def to_json(self) -> str:
        names = (*_COUNTERS, *_NUMBERS, "results")
        return json.dumps({name: getattr(self, name) for name in names}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Ledger:
        """Ledger from what `to_json` wrote, here or in another version: missing fields are empty.

        Raises:
            DamagedError: it is something else.
        """
        state = files.parse_json(text, dict)
        known = {name: state[name] for name in (*_COUNTERS, *_NUMBERS, "results") if name in state}
        for name, value in known.items():
            if name in _NUMBERS:
                right = isinstance(value, int)
            elif name in _COUNTERS:
                right = isinstance(value, dict) and all(map(_is_count, value.values()))
            else:
                right = isinstance(value, dict) and all(map(_is_result, value.values()))
            if not right:
                raise files.DamagedError(f"is damaged: {name} is {value!r:.60}")
        return cls(**{**known, **{n: Counter(known[n]) for n in _COUNTERS if n in known}})


_COUNTERS = ("issued", "silent", "lost")
_NUMBERS = ("dropped", "seen", "resumed")


def _is_result(value: object) -> bool:
    try:
        rows.require_result(value if isinstance(value, dict) else {})
    except files.DamagedError:
        return False
    return True


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def read_ledger(path: Path) -> Ledger:
    """Ledger that the tuner has kept in a file; a new one if there is none or it is damaged.

    A damaged file is reported: NNI's records hold most of it.
    """
    if not path.exists():
        return Ledger()
    try:
        return Ledger.from_json(files.read_regular(path, limits.JSON_SIZE))
    except (files.DamagedError, OSError) as error:
        why = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        say_once(f"{path} {why}; going on with what NNI recorded")
        return Ledger()
