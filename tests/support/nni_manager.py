"""NNI's manager as its source has it, as far as a tuner meets it; trials take steps when told to.

After nni_node/core/nnimanager.js and training_service/v3/compat.js of NNI 3.0: parameters stand in
one queue and go to whichever trial asks first; on a resume, trials that were waiting or running
start again under their ids with the parameters that were recorded for them, those that had not been
submitted are gone, and the tuner is not told of the end of a trial that was resumed.
"""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nni_darts.experiment.nni_database import INTERRUPTED
from nni_darts.runs.run_key import key
from nni_darts.tasks.registry import parse_run
from nni_darts.tuner import DartsProtocol

Parameters = dict[str, Any]


@dataclass
class FakeTrial:
    id: str
    recorded: Parameters
    allocated: Parameters | None = None
    running: Parameters | None = None
    resumed: bool = False

    @property
    def key(self) -> str | None:
        return None if self.running is None else key(parse_run(self.running))


class FakeManager:
    """One experiment. `outcome` gives the result of a run by its parameters."""

    def __init__(
        self, folder: Path, class_args: Parameters, max_trials: int, concurrency: int, outcome: Any
    ) -> None:
        self.class_args = class_args
        self.max_trials = max_trials
        self.concurrency = concurrency
        self.outcome = outcome
        self.error: str | None = None
        self.submitted = 0
        self.started = 0
        self.alive: list[FakeTrial] = []
        self.finished: list[dict[str, Any]] = []
        self._clock = itertools.count()
        self._ids = itertools.count()
        self._created = 0
        (folder / "db").mkdir()
        self._db = sqlite3.connect(folder / "db" / "nni.sqlite", isolation_level=None)
        self._db.execute("create table TrialJobEvent (timestamp int, trialJobId, event, data)")
        self._db.execute("create table MetricData (timestamp int, trialJobId, type, data)")
        self._db.execute("create table ExperimentProfile (params, revision int)")
        tuner = {"className": "nni_darts.tuner.DartsProtocol", "classArgs": class_args}
        profile = json.dumps({"maxTrialNumber": max_trials, "tuner": tuner})
        self._db.execute("insert into ExperimentProfile values (?, 1)", [profile])
        self._start()

    @property
    def done(self) -> bool:
        return self.submitted >= self.max_trials and not self.alive

    # NNI's side of the tuner

    def send_trial(self, id_: int, parameters: Parameters) -> None:
        self._waiting.append(FakeTrial("", parameters))

    def report_error(self, text: str) -> None:
        self.error = text

    def set_max_trials(self, experiment: str, number: int) -> None:
        self.max_trials = number

    def _start(self) -> None:
        self._waiting: list[FakeTrial] = []
        self._queue: list[Parameters] = []
        self.tuner = DartsProtocol(**self.class_args)

    def begin(self) -> None:
        self.tuner.update_search_space({})
        self._request(self.concurrency)

    def stop_and_resume(self, heard: bool = True) -> None:
        """All trials die, whatever was only in the manager's memory is gone.

        Args:
            heard: whether the tuner has come so far as to look at what there is.
        """
        self.started = next(self._clock)
        # Those it was about to resume are not among them: their status is ADD_RESUMED.
        recovered, self.alive = self.alive, []
        self.submitted = self._created - len(recovered)
        self._start()
        for trial in recovered:
            self._event(trial.id, "ADD_RESUMED")
        if not heard:
            return
        self.tuner.load_checkpoint()
        for trial in recovered:
            again = FakeTrial(trial.id, trial.recorded, allocated=trial.recorded, resumed=True)
            self._waiting.append(again)
        self.tuner.update_search_space({})
        self.tuner.import_data([{"parameter": {}, "value": value} for value in self.finished])
        self._request(self.concurrency)

    def _request(self, number: int) -> None:
        ids = [next(self._ids) for _ in range(number)]
        made = self.tuner.generate_multiple_parameters(ids, st_callback=self.send_trial)
        assert len(made) <= number
        for id_, parameters in zip(ids, made, strict=False):
            self.send_trial(id_, parameters)

    # What happens, one thing at a time

    def submit(self) -> bool:
        """The loop of the manager starts what waits."""
        room = len(self.alive) < self.concurrency and self.submitted < self.max_trials
        if not self._waiting or not room:
            return False
        trial = self._waiting.pop(0)
        self.submitted += 1
        if not trial.id:
            trial.id = f"t{self._created}"
            self._created += 1
        if trial.allocated is None:
            self._queue.append(trial.recorded)
        self.alive.append(trial)
        self._event(trial.id, "WAITING")
        return True

    def ask(self, trial: FakeTrial) -> None:
        """The trial's process has started, and asks for its parameters."""
        self._event(trial.id, "RUNNING")
        trial.running = trial.allocated or self._queue.pop(0)

    def report(self, trial: FakeTrial) -> None:
        self._metric(trial.id, "PERIODICAL", {"default": 0.1, "epoch": 0, "key": trial.key})

    def finish(self, trial: FakeTrial) -> None:
        result = {**self.outcome(parse_run(trial.running or {})), "key": trial.key}
        self._metric(trial.id, "FINAL", result)
        self.finished.append(result)
        if trial.resumed:
            self.tuner.import_data([{"parameter": trial.recorded, "value": result}])
        else:
            self.tuner.receive_trial_result(0, trial.recorded, result, customized=False)
        self._end(trial, "SUCCEEDED")

    def kill(self, trial: FakeTrial) -> None:
        self._end(trial, "USER_CANCELED")

    def interrupt(self, trial: FakeTrial, cause: str) -> None:
        """It ends, and says that it is no fault of the run."""
        report = {"default": 0.1, "key": trial.key, INTERRUPTED: cause}
        self._metric(trial.id, "PERIODICAL", report)
        self._end(trial, "FAILED")

    def _end(self, trial: FakeTrial, status: str) -> None:
        self.alive.remove(trial)
        self._event(trial.id, status)
        if not trial.resumed:
            self.tuner.trial_end(0, status == "SUCCEEDED")
        if self.submitted < self.max_trials:
            self._request(1)

    def step(self, chance: random.Random) -> None:
        """Something that could happen next; a trial asks, reports and finishes in this order."""
        options = [lambda: self.submit()]
        for trial in self.alive:
            if trial.running is None:
                options.append(lambda t=trial: self.ask(t))  # type: ignore[misc]
            else:
                options.append(lambda t=trial: self.report(t))  # type: ignore[misc]
                options.append(lambda t=trial: self.finish(t))  # type: ignore[misc]
        chance.choice(options)()

    def _event(self, id_: str, event: str) -> None:
        row = [next(self._clock), id_, event, ""]
        self._db.execute("insert into TrialJobEvent values (?, ?, ?, ?)", row)

    def _metric(self, id_: str, kind: str, value: dict[str, Any]) -> None:
        row = [next(self._clock), id_, kind, json.dumps(json.dumps(value))]
        self._db.execute("insert into MetricData values (?, ?, ?, ?)", row)
