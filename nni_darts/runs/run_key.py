"""The key that names a run of an experiment."""

from __future__ import annotations

from nni_darts.genotypes.stored_text import digest
from nni_darts.tasks.settings import Run


def key(run: Run) -> str:
    """What tells a run from the others of its experiment; also a good name for a folder."""
    return "-".join(filter(None, [run.stage, run.genotype and digest(run.genotype), str(run.seed)]))
