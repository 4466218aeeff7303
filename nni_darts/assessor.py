"""NNI assessor: the live page of the alphas, and the stop of a collapsed search.

It runs beside NNI's manager, so remote trials are seen as well, and must start within ten seconds:
no torch.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from nni.assessor import Assessor, AssessResult

from nni_darts._common import files
from nni_darts.experiment import nni_manager
from nni_darts.experiment.guard import guarded
from nni_darts.experiment.nni_database import Experiment
from nni_darts.experiment.resumed_trials import ResumedTrials
from nni_darts.history.flat import from_flat
from nni_darts.monitor.collapse import Rules, judge, parse_rules
from nni_darts.monitor.page_data import VERSION, Epoch, Search
from nni_darts.runs.run_key import RunKey
from nni_darts.tasks.registry import parse
from nni_darts.tasks.settings import Search as SearchSettings
from nni_darts.tasks.settings import Settings
from nni_darts.tasks.stage import Stage

PAGE = "alphas.html"
FOLDER = "alphas"
"""Folder beside the page: index.json, and a file for each search."""
POLL_SECONDS = 5.0
"""Seconds between two looks at the trials that NNI resumed."""

_logger = logging.getLogger("nni_darts.assessor")


def _search_of(report: Any) -> RunKey | None:
    """The search that a report is of; None for what is anything else."""
    try:
        run = RunKey.parse(report["key"] if isinstance(report, dict) else None)
    except (ValueError, KeyError):
        return None
    return run if run.stage is Stage.SEARCH else None


class AlphaMonitor(Assessor):
    """Shows the searches on `http://HOST:PORT/logs/alphas.html`, and says when one has collapsed.

    A search has collapsed when the derived normal cell has more than `max_skips` skip connections
    for `epochs` epochs in a row, when the mean entropy of the mixing weights is below
    `min_entropy`, or when the largest eigenvalue of the Hessian has grown by the rule `eigenvalue`
    or, without one, by the rule that the search itself goes back by. The verdict stands on the page
    and in the log. With `on_collapse: stop` NNI kills the trial, so that it has no final result;
    the run is left out and the protocol goes on with the other searches. A search is not stopped
    after its last epoch, nor for its eigenvalue.

    The page and its data lie in the experiment's log folder, which the manager serves and which
    stays. Where nothing can be written there, that is reported once; no trial is harmed by it.

    Args:
        class_args: see `nni_darts.monitor.collapse.Rules`: on_collapse ("warn" or "stop"),
            max_skips, epochs, min_entropy, eigenvalue.

    Raises:
        SettingsError: for other class_args.
    """

    def __init__(self, **class_args: Any) -> None:
        self._rules = parse_rules(class_args)
        self._lock = threading.RLock()
        self._searches: dict[str, Search] = {}
        self._taken: dict[str, int] = {}
        self._written: dict[Path, str] = {}
        self._said: set[str] = set()
        self._failing = False
        self._settings: Settings | None = None
        self._folder = Path(os.environ.get("NNI_LOG_DIRECTORY", "")).resolve()
        self._experiment = Experiment(self._folder.parent.name, self._folder.parent)
        # Before any trial that NNI resumes has reported.
        self._resumed = ResumedTrials(self._experiment)
        self._begin()

    @guarded
    def assess_trial(self, trial_job_id: str, trial_history: list[Any]) -> AssessResult:
        """Take the reports that are new. Runs of other stages are left alone."""
        before = self._taken.get(trial_job_id, 0)
        self._taken[trial_job_id] = len(trial_history)
        return self._take(trial_job_id, trial_history[before:])

    @guarded
    def trial_end(self, trial_job_id: str, success: bool) -> None:
        self._taken.pop(trial_job_id, None)
        self._end(trial_job_id, success)

    @guarded
    def load_checkpoint(self) -> None:
        """Resume after `nnictl resume`: files in the folder are kept, resumed trials are polled."""
        threading.Thread(target=self._follow, name="alpha page", daemon=True).start()

    def _caught(self, error: Exception) -> AssessResult:
        """Report it once, and go on: an exception would end NNI's dispatcher."""
        self._complain(f"the alpha page: {type(error).__name__}: {error}")
        return AssessResult.Good

    @guarded
    def _begin(self) -> None:
        if not os.environ.get("NNI_LOG_DIRECTORY"):
            self._complain("the alpha page is not written: NNI_LOG_DIRECTORY is not set")
            return
        self._load()
        template = resources.files("nni_darts.monitor").joinpath("page.html")
        page = template.read_text(encoding="utf-8")
        self._write(self._folder / PAGE, page)
        for search in self._searches.values():  # the page may be newer than they are
            self._write(self._path(search.key), search.to_json())
        self._write_index()
        if (url := nni_manager.address()) is not None and not self._failing:
            self._say(f"the alpha page is at {url.removesuffix('/api/v1/nni')}/logs/{PAGE}")

    # What is known

    def _load(self) -> None:
        """Load what an earlier dispatcher of this experiment has written."""
        index = self._folder / FOLDER / "index.json"
        if not index.exists():
            return
        try:
            entries = json.loads(index.read_text(encoding="utf-8"))["searches"]
            for entry in entries:
                text = self._path(entry["key"]).read_text(encoding="utf-8")
                self._searches[entry["key"]] = Search.from_json(text, entry["status"])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            self._complain(f"the alpha page begins anew, {index.parent} cannot be read: {error!r}")

    def _path(self, key: str) -> Path:
        # What parses as a key cannot lead anywhere else.
        return self._folder / FOLDER / f"{RunKey.parse(key)}.json"

    def _take(self, trial: str, reports: Sequence[Any]) -> AssessResult:
        search = None
        for report in reports:
            run = _search_of(report)
            if run is None or "epoch" not in report:
                continue
            key = str(run)
            search = self._searches.setdefault(key, Search(key, run.seed, trial))
            if search.trial != trial or search.status != "running":
                # Another attempt, which goes on from the checkpoint.
                search.trial, search.status, search.stopped = trial, "running", False
            search.add(Epoch.of(from_flat(report)))
        if search is None:
            return AssessResult.Good
        search.planned = self._epochs()
        before, search.verdict = search.verdict, judge(search.figures(), self._all_rules())
        stop = self._stops(search)
        search.stopped = search.stopped or stop
        if stop:
            self._note_stopped(trial)
        if search.verdict is not None and (before is None or stop):
            what = "it is stopped" if stop else f"on_collapse: {self._rules.on_collapse}"
            self._say(f"{search.key} {search.verdict.text} ({what})", logging.WARNING)
        self._write_search(search)
        return AssessResult.Bad if stop else AssessResult.Good

    def _note_stopped(self, trial: str) -> None:
        # NNI notes that it stops a trial only after the trial has ended, too late for its status.
        stopped = dict.fromkeys([*self._experiment.stopped(), trial])
        try:
            self._experiment.stopped_file.parent.mkdir(exist_ok=True)
            files.write(self._experiment.stopped_file, json.dumps(list(stopped)))
        except OSError as error:
            self._complain(f"trial {trial} may be tried again: {error}")

    def _stops(self, search: Search) -> bool:
        if search.verdict is None or self._rules.on_collapse != "stop":
            return False
        # A search that has the rule of its own ends by itself.
        verdict = judge(search.figures(), self._rules)
        # The trial that has done its last epoch is about to hand in its result, or to decide on it.
        over = search.planned is not None and max(search.epochs) + 1 >= search.planned
        return verdict is not None and verdict.holds and not over

    def _all_rules(self) -> Rules:
        """The rules here and, without one here, the rule by which a search goes back."""
        settings = self._search_settings()
        measured = settings.eigenvalue if settings else None
        if self._rules.eigenvalue is not None or measured is None:
            return self._rules
        return self._rules.model_copy(update={"eigenvalue": measured.stop})

    def _epochs(self) -> int | None:
        """Number of epochs of a search, by the tuner's settings."""
        settings = self._search_settings()
        return settings.epochs if settings else None

    def _search_settings(self) -> SearchSettings | None:
        """The tuner's settings of the search; None while they are not known."""
        if self._settings is None and self._experiment.database.exists():
            try:
                self._settings = parse((self._experiment.config().get("tuner") or {})["classArgs"])
            except (ValueError, KeyError):  # only for what the page shows
                return None
        return self._settings.search if self._settings else None

    def _end(self, trial: str, success: bool) -> None:
        for search in self._searches.values():
            if search.trial == trial:
                ended = "stopped" if search.stopped else "failed"
                search.status = "succeeded" if success else ended
                self._write_search(search)

    # Trials that NNI resumed

    def _follow(self) -> None:
        pause = threading.Event()
        while not pause.wait(POLL_SECONDS):
            self._look()

    @guarded
    def _look(self) -> None:
        bad: dict[str, None] = {}
        for trial, news in self._resumed.news():
            if isinstance(news, str):
                self._end(trial, news == "SUCCEEDED")
            elif self._take(trial, [news]) is AssessResult.Bad:
                bad[trial] = None
        for trial in bad:
            nni_manager.cancel(self._experiment.id, trial)

    # Telling

    def _write_search(self, search: Search) -> None:
        self._write(self._path(search.key), search.to_json())
        self._write_index()

    def _write_index(self) -> None:
        searches = [
            {
                "key": search.key,
                "seed": search.seed,
                "trial": search.trial,
                "status": search.status,
                "collapsed": search.verdict is not None and search.verdict.holds,
            }
            for search in sorted(self._searches.values(), key=lambda search: search.seed)
        ]
        index = {"version": VERSION, "experiment": self._experiment.id, "searches": searches}
        self._write(self._folder / FOLDER / "index.json", json.dumps(index, separators=(",", ":")))

    def _write(self, path: Path, text: str) -> None:
        if not os.environ.get("NNI_LOG_DIRECTORY") or self._written.get(path) == text:
            return
        try:
            path.parent.mkdir(exist_ok=True)
            files.write(path, text)
        except OSError as error:  # a full disk may have room again, so the next epoch is tried
            if not self._failing:
                self._failing = True
                self._complain(f"the alpha page cannot be written: {error}")
            return
        if path.name == "index.json":  # the only one that is often the same
            self._written[path] = text

    def _complain(self, text: str) -> None:
        self._say(text, logging.ERROR)

    def _say(self, text: str, level: int = logging.INFO) -> None:
        if text not in self._said:
            self._said.add(text)
            _logger.log(level, text)
            print(f"nni-darts: {text}", flush=True)
