"""What to run next, given what has been run: no NNI, no torch, no state."""

from __future__ import annotations

from collections.abc import Collection

from nni_darts.config import Run, Settings


def runs(settings: Settings) -> list[Run]:
    """All runs of the protocol in their order: a search for each seed."""
    shared = settings.model_dump()
    return [Run(stage="search", seed=seed, **shared) for seed in settings.search.seeds]


def key(run: Run) -> str:
    """What tells a run from the others of its experiment."""
    return f"{run.stage} {run.seed}"


def next_run(settings: Settings, issued: Collection[str]) -> Run | None:
    """The first run whose key has not been issued yet; None when there is none."""
    return next((run for run in runs(settings) if key(run) not in issued), None)
