"""The key that names a run of an experiment."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nni_darts._common import limits
from nni_darts._common.messages import shown
from nni_darts.tasks.settings import Run
from nni_darts.tasks.stage import TRAININGS, Stage

_FORM = re.compile(r"([a-z]+)(?:-([0-9A-Za-z_]+))?-(0|[1-9][0-9]{0,9})")


@dataclass(frozen=True)
class RunKey:
    """Key that tells a run from the others of its experiment; its text is a good name for a folder.

    Raises:
        ValueError: one line; for a search with a genotype, and for a seed or a digest that no run
            has.
    """

    stage: Stage
    seed: int
    genotype: str | None = None
    """The digest of the genotype that is trained; a search has none, and a training whose genotype
    its experiment does not tell apart."""

    def __post_init__(self) -> None:
        if self.stage is Stage.SEARCH and self.genotype is not None:
            raise _refused(str(self))
        if _FORM.fullmatch(str(self)) is None or self.seed > limits.SEED:
            raise _refused(str(self))

    @classmethod
    def of(cls, run: Run) -> RunKey:
        """The key of a run."""
        genotype = run.genotype and run.task.architecture(run.genotype).digest
        return cls(run.stage, run.seed, genotype)

    @classmethod
    def parse(cls, text: object) -> RunKey:
        """The key whose text this is: `search-0`, `evaluate-c7076324-0`.

        Raises:
            ValueError: one line, for anything else.
        """
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None or match[1] not in list(Stage):
            raise _refused(text)
        return cls(Stage(match[1]), int(match[3]), match[2])

    def __str__(self) -> str:
        parts = (self.stage.value, self.genotype, str(self.seed))
        return "-".join(part for part in parts if part is not None)


def key(run: Run) -> str:
    """Text of a run's key, by which results, reports and folders are known."""
    return str(RunKey.of(run))


def _refused(text: object) -> ValueError:
    trainings = " or ".join(f"{stage}-GENOTYPE-SEED" for stage in TRAININGS)
    return ValueError(
        f"the key of a run must be {Stage.SEARCH}-SEED, or {trainings} with the digest of a "
        f"genotype; the seed is at most {limits.SEED}; got {shown(text)}"
    )
