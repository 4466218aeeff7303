"""Reports of trials that `nnictl resume` started again, read from NNI's database.

NNI's dispatcher drops the reports of such trials before they come to the assessor, and does not
tell it of their end (nni/runtime/msg_dispatcher.py, is_created_in_previous_exp).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nni_darts._common.files import DamagedError
from nni_darts.experiment import rows
from nni_darts.experiment.database import Database, DatabaseError
from nni_darts.experiment.nni_database import Experiment, Trial


class ResumedTrials:
    """Trials of an experiment that are not over yet, from now on.

    Made when NNI's dispatcher starts, these are the ones that NNI resumes, or has just marked so.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._tables = Database(experiment.database)
        self._event = self._message = 0
        last: dict[str, str] = {}
        try:
            events = self._tables.events()
            self._message = self._tables.last_message()
        except DatabaseError:  # a new experiment
            events = []
        for event in events:
            self._event = event.row
            last[event.trial] = event.status
        self._trials = {trial for trial, status in last.items() if _alive(status)}

    def news(self) -> Iterator[tuple[str, dict[str, Any] | str]]:
        """Yield (trial, report), and (trial, status) when it has ended; each once.

        Raises:
            DatabaseError: the database cannot be read now.
        """
        # Events first: a trial's last report has been stored before its end.
        events = self._tables.events(self._event)
        messages = self._tables.messages(self._message)
        ended: dict[str, str] = {}
        for event in events:
            self._event = event.row
            if event.trial in self._trials and not _alive(event.status):
                ended[event.trial] = event.status
        for message in messages:
            self._message = message.row
            if message.kind != "PERIODICAL" or message.trial not in self._trials:
                continue
            try:
                value = rows.decode(message.data)
            except DamagedError:  # the tuner, which reads it too, says so
                continue
            if isinstance(value, dict):
                yield message.trial, value
        for trial, status in ended.items():
            self._trials.remove(trial)
            yield trial, status


def _alive(status: str) -> bool:
    return Trial("", status).alive or status == "USER_TO_CANCEL"
