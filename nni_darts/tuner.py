"""The tuner: `nni_darts.experiment.protocol` for NNI. It must start within ten seconds: no
torch.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from nni.tuner import Tuner

from nni_darts._common import files
from nni_darts._common.messages import printable, printable_lines
from nni_darts._common.validation import SettingsError
from nni_darts.experiment import loopback, nni_manager, protocol
from nni_darts.experiment.guard import guarded
from nni_darts.experiment.ledger import Ledger, read_ledger
from nni_darts.experiment.nni_database import Experiment
from nni_darts.runs import run_key
from nni_darts.tasks.registry import parse
from nni_darts.tasks.settings import Run, Settings

_logger = logging.getLogger("nni_darts.tuner")


class DartsProtocol(Tuner):
    """Issues the runs of the protocol as they become possible. `classArgs` are the settings.

    What has become of the runs is read from NNI's database, where each trial's own reports say
    which run it did; what has been issued is kept in the experiment's checkpoint folder. With that
    it goes on after `nnictl resume` as if nothing had been.

    When the protocol is over it sets NNI's maxTrialNumber to the trials there were, so that the
    experiment is DONE however many were tried again or found twice. When it cannot come to its
    end the experiment's status becomes ERROR, with the reason; for wrong settings at once.
    """

    def __init__(self, **class_args: Any) -> None:
        self._lock = threading.RLock()
        self._owed: list[int] = []
        self._send: Callable[[int, dict[str, Any]], None] | None = None
        self._said: set[str] = set()
        self._failed: str | None = None
        self._max_trials: int | None = None
        self._seen = 0
        """Number of the latest event of a trial when this tuner started."""
        folder = os.environ.get("NNI_CHECKPOINT_DIRECTORY")
        if folder is None:
            raise RuntimeError("NNI_CHECKPOINT_DIRECTORY is not set; NNI sets it for its tuners")
        self._state = Path(folder) / "nni_darts.json"
        self._experiment = Experiment(Path(folder).parent.name, Path(folder).parent)
        self._ledger = Ledger()
        self._settings: Settings | None = None
        self._keep_to_loopback(Path(folder))
        try:
            self._settings = parse(class_args)
        except SettingsError as error:
            wrong = "; ".join(f"tuner.classArgs.{problem}" for problem in error.problems)
            self._fail(f"wrong settings: {wrong}")

    def update_search_space(self, search_space: Any) -> None:
        """Ignore NNI's search space: the architecture is searched inside the trials."""

    @guarded
    def generate_multiple_parameters(
        self, parameter_id_list: list[int], **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Parameters of the runs that can start now; the ids left over are answered later."""
        self._send = kwargs["st_callback"]
        if self._failed is not None:
            self._fail(self._failed)
            return []
        runs: list[Run] = []
        ids = iter(parameter_id_list)

        def collect(run: Run) -> bool:
            if next(ids, None) is None:
                return False
            runs.append(run)
            return True

        self._advance(collect)
        self._owed.extend(ids)
        return [run.model_dump(mode="json", exclude_defaults=True) for run in runs]

    @guarded
    def receive_trial_result(
        self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any
    ) -> None:
        """Take account of a result, which NNI's database holds together with its run."""
        self._advance(self._answer)

    @guarded
    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        self._advance(self._answer)

    @guarded
    def import_data(self, data: Any) -> None:
        """Take account of the results of trials that NNI started again, after `nnictl resume`."""
        self._advance(self._answer)

    @guarded
    def load_checkpoint(self) -> None:
        """Restore the state, first of all after `nnictl resume`; NNI reruns unfinished trials."""
        self._ledger = read_ledger(self._state)
        trials = self._experiment.trials()
        self._seen = max((trial.event for trial in trials), default=0)
        self._ledger.resume(trials, nni_manager.start_time(self._experiment.id))

    def _caught(self, error: Exception) -> list[Any]:
        """End the experiment, with a message: an exception would leave it hanging."""
        _logger.error("the tuner failed", exc_info=error)
        self._fail(f"the tuner failed: {type(error).__name__}: {error}")
        return []

    def _keep_to_loopback(self, folder: Path) -> None:
        if (port := nni_manager.port()) is None:
            return
        process = nni_manager.process(self._experiment.id)
        try:
            if loopback.keep(folder, port, None if process is None else process.pid):
                print(f"nni-darts: port {port} is on {loopback.LOOPBACK} again", flush=True)
            elif os.environ.get(loopback.HOST) != loopback.ALL and loopback.is_exposed(port):
                # On the screen, with --foreground; each trial has a log of its own.
                print(f"nni-darts: {loopback.warning(port)}", flush=True)
        except loopback.OpenError as error:
            self._fail(str(error).replace("resume ID", f"resume {self._experiment.id}"))
            if process is not None:
                process.send_signal(signal.SIGTERM)

    def _answer(self, run: Run) -> bool:
        """Issue a run to a request of NNI's that is still open."""
        if not self._owed or self._send is None:
            return False
        self._send(self._owed.pop(0), run.model_dump(mode="json", exclude_defaults=True))
        return True

    def _advance(self, issue: Callable[[Run], bool]) -> None:
        """Take account of what has happened; issue what is possible now, as far as it is asked."""
        if self._settings is None or self._failed is not None:
            return
        ledger = self._ledger
        trials = self._experiment.trials()
        ledger.update(trials)
        for trial in trials:
            if trial.unable is not None and trial.event > self._seen:
                # The next trial could not do better; the run keeps its attempts.
                files.write(self._state, ledger.to_json())
                resume = f"go on with: nnictl resume {self._experiment.id}"
                self._fail(f"trial {trial.id}: {trial.unable}; then {resume}")
                return
        plan = protocol.make_plan(self._settings, ledger.results, ledger.failures, ledger.held)
        for note in plan.notes:
            if note not in self._said:
                self._said.add(note)
                _logger.warning(note)
                print(f"nni-darts: {printable(note)}", flush=True)
        waiting = 0
        for run in plan.ready:
            if not ledger.pending[run_key.key(run)]:
                # Noted before it is issued: else a kill between the two would issue it twice.
                ledger.issue(run_key.key(run))
                files.write(self._state, ledger.to_json())
                if not issue(run):
                    ledger.withdraw(run_key.key(run))
                    waiting += 1
        files.write(self._state, ledger.to_json())
        self._write_results()
        if plan.problem is not None:
            self._fail(plan.problem)
            return
        # One more than there are while any is under way: should the last one fail, NNI asks again.
        under_way = 1 if ledger.pending.total() else 0
        self._end_at(ledger.issued.total() - ledger.dropped + max(waiting + plan.later, under_way))
        if plan.over:
            self._say_results()

    def _end_at(self, trials: int) -> None:
        if self._max_trials is None:
            self._max_trials = self._experiment.config().get("maxTrialNumber")
        if trials != self._max_trials:
            nni_manager.set_max_trials(self._experiment.id, trials)
            self._max_trials = trials

    def _write_results(self) -> None:
        # pandas takes a second: not while NNI waits for the tuner to start.
        from nni_darts.experiment import results

        if self._ledger.results:
            results.write(self._experiment)

    def _say_results(self) -> None:
        from nni_darts.experiment import results

        text = results.summary(self._experiment)
        if text not in self._said:
            self._said.add(text)
            print(f"\n{printable_lines(text)}\n", flush=True)

    def _fail(self, reason: str) -> None:
        """End the experiment with the status ERROR; as soon as there is a way to say so."""
        if self._failed is None:
            _logger.error(reason)
            print(f"nni-darts: error: {printable(reason)}", flush=True)
        self._failed = reason
        if self._send is not None:
            # NNI gives its tuners no way to fail but this one, which it uses itself.
            cast(Any, self._send).__self__.report_error(reason)
