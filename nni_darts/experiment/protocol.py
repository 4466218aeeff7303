"""Plan of the next runs, given how the runs so far ended: no NNI, no torch, no state.

The paper's protocol (section 3.2): searches with several seeds; what they find is trained briefly
from scratch and the best on validation data selected; the selected is trained in full and tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nni_darts.runs.run_key import key
from nni_darts.tasks.registry import run_of
from nni_darts.tasks.settings import Run, Settings
from nni_darts.tasks.stage import Stage

ATTEMPTS = 2
"""A run that fails is tried once more, from its own checkpoint; then it is left out."""

Results = Mapping[str, Mapping[str, Any]]
"""Flat result by key of a run, with `default`, the validation metric, and the genotypes."""
Failures = Mapping[str, int]
"""Number of failed attempts by key of a run."""
Held = Mapping[str, str]
"""Cause of an interruption by key of a run, which waits for `nnictl resume`."""


@dataclass(frozen=True)
class Plan:
    """Plan that follows from the results so far."""

    runs: tuple[Run, ...] = ()
    """Runs of every stage that has started, finished ones included, in order."""
    ready: tuple[Run, ...] = ()
    """Runs that have no result and may still be tried."""
    later: int = 0
    """Number of runs of the stages that have not begun."""
    notes: tuple[str, ...] = ()
    """Messages for the user: runs that are tried again, left out, or genotypes found twice."""
    problem: str | None = None
    """Reason why the protocol cannot come to its end; None if it can."""

    @property
    def over(self) -> bool:
        return not self.ready and not self.later


def planned(settings: Settings) -> int:
    """Number of runs if none fails and no genotype is found twice."""
    plan = make_plan(settings, {}, {})
    return len(plan.ready) + plan.later


@dataclass
class _Draft:
    """Plan in the making, stage by stage."""

    settings: Settings
    results: Results
    failures: Failures
    held: Held = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self, stage: Stage, seed: int, genotype: str | None = None) -> Run:
        made = run_of(self.settings, stage, seed, genotype)
        self.runs.append(made)
        return made

    def is_open(self, run: Run) -> bool:
        return key(run) not in self.results and self.failures.get(key(run), 0) < ATTEMPTS

    def done(self, stage: Sequence[Run]) -> list[Run]:
        """Runs of a stage that have a result, once none is open any more."""
        for run in stage:
            name = key(run)
            times = self.failures.get(name, 0)
            if name not in self.results and times >= ATTEMPTS:
                self.notes.append(f"{name} failed {times} times, or was stopped early: left out")
            elif times and name not in self.results:
                self.notes.append(f"{name} failed and is tried again, from its checkpoint")
        return [run for run in stage if key(run) in self.results]

    def plan(self, later: int = 0, problem: str | None = None) -> Plan:
        open_ = [run for run in self.runs if self.is_open(run)]
        ready = tuple(run for run in open_ if key(run) not in self.held)
        for name, cause in self.held.items():
            self.notes.append(
                f"{name} was interrupted ({cause}): that does not count; it goes on from its "
                "checkpoint after nnictl stop and nnictl resume"
            )
        if open_ and not ready:
            names = [key(run) for run in open_]
            problem = (
                f"{', '.join(names)} cannot go on ({self.held[names[0]]}): put that right, then "
                "nnictl stop and nnictl resume this experiment"
            )
        ready = () if problem else ready
        return Plan(tuple(self.runs), ready, later, tuple(dict.fromkeys(self.notes)), problem)


def make_plan(
    settings: Settings, results: Results, failures: Failures, held: Held = MappingProxyType({})
) -> Plan:
    """Plan of what has been run, what can be run now, and how much is still to come.

    A stage begins when every run of the one before it is over. A failed run is left out after its
    second attempt; the protocol goes on with what is left, and has a problem when nothing is. One
    that was interrupted is held: its stage is not over, and when nothing else of it is left to run,
    that is a problem, too.
    """
    draft = _Draft(settings, results, failures, held)
    select, evaluate = settings.select, settings.evaluate
    evaluations = len(evaluate.seeds) if evaluate else 0
    per_search = select.per_search if select else 1

    def selected(candidates: int) -> int:
        return min(select.survivors, candidates) if select else candidates

    # search
    if settings.search is not None:
        searches = [draft.run(Stage.SEARCH, seed) for seed in settings.search.seeds]
        done = draft.done(searches)
        if any(map(draft.is_open, searches)):
            usable = len(done) + sum(map(draft.is_open, searches))
            candidates = per_search * usable if select or evaluate else 0
            trained = candidates if select else 0
            return draft.plan(later=trained + selected(candidates) * evaluations)
        if not done:
            return draft.plan(problem="no search has a result: there is nothing to go on with")
        genotypes = _handed_on(draft, done, per_search) if select or evaluate else []
    else:
        given = [settings.task.given(text) for text in settings.genotypes]
        genotypes = list({each.digest: each.to_json() for each in given}.values())
    # select
    if select is not None:
        trainings = [draft.run(Stage.SELECT, select.seed, text) for text in genotypes]
        done = draft.done(trainings)
        if any(map(draft.is_open, trainings)):
            usable = len(done) + sum(map(draft.is_open, trainings))
            return draft.plan(later=selected(usable) * evaluations)
        if not done:
            return draft.plan(problem="no genotype could be trained: there is none to select")
        genotypes = [str(run.genotype) for run in ranked(done, results)[: select.survivors]]
        if len(genotypes) < select.survivors:
            draft.notes.append(
                f"only {len(genotypes)} genotypes are left of the {select.survivors} to be selected"
            )
    # evaluate
    if evaluate is not None:
        trainings = [
            draft.run(Stage.EVALUATE, seed, text) for text in genotypes for seed in evaluate.seeds
        ]
        done = draft.done(trainings)
        if not done and not any(map(draft.is_open, trainings)):
            return draft.plan(problem="no genotype could be trained in full: there is no result")
    return draft.plan()


def ranked(runs: Sequence[Run], results: Results) -> list[Run]:
    """Runs of an experiment by their validation metric, best first; equal ones keep their order."""
    return sorted(runs, key=lambda run: run.task.metric.cost(results[key(run)]["default"]))


def winner(settings: Settings, results: Results, failures: Failures) -> str | None:
    """Genotype (JSON) that is selected; None before, or if there is nothing to choose by.

    It is the best one on validation data whose evaluations have not all failed. Without a selection
    it is the only one that is evaluated.
    """
    plan = make_plan(settings, results, failures)
    evaluations = [run for run in plan.runs if run.stage is Stage.EVALUATE]
    if evaluations:
        usable = [r for r in evaluations if r in plan.ready or key(r) in results]
        genotypes = list(dict.fromkeys(run.genotype for run in usable))
        return genotypes[0] if genotypes and (settings.select or len(genotypes) == 1) else None
    selections = [run for run in plan.runs if run.stage is Stage.SELECT]
    if not selections or any(run in plan.ready for run in selections):
        return None
    done = [run for run in selections if key(run) in results]
    return ranked(done, results)[0].genotype if done else None


def _handed_on(draft: _Draft, searches: Sequence[Run], per_search: int) -> list[str]:
    """Best genotypes of each search, each once."""
    genotypes: dict[str, str] = {}
    finders: dict[str, str] = {}
    for search in searches:
        for rank in range(1, per_search + 1):
            text = draft.results[key(search)].get(f"genotype_{rank}")
            if text is None:  # the space is smaller than that
                continue
            name = draft.settings.task.architecture(text).digest
            if name in genotypes:
                draft.notes.append(
                    f"{key(search)} found {name} too, as {finders[name]} did: it is trained once"
                )
            finders.setdefault(name, key(search))
            genotypes.setdefault(name, text)
    return list(genotypes.values())
