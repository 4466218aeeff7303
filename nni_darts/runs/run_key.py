"""The key that names a run of an experiment."""

from __future__ import annotations

from nni_darts.tasks.settings import Run


def key(run: Run) -> str:
    """What tells a run from the others of its experiment; also a good name for a folder."""
    digest = run.genotype and run.task.architecture(run.genotype).digest
    return "-".join(filter(None, [run.stage, digest, str(run.seed)]))
