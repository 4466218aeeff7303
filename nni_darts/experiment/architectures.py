"""Architectures of an experiment, best first, each with the stage that it has reached."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nni_darts._common.metric import ACCURACY, Metric, metric_of
from nni_darts.experiment.nni_database import Experiment
from nni_darts.genotypes import genotype_json
from nni_darts.genotypes.sample import Sample
from nni_darts.tasks.stage import Stage


@dataclass
class FoundArchitecture:
    """Architecture that a search found, or that the experiment was given."""

    text: str
    """Genotype, or a sample of a space that is not one of cells, as JSON."""
    trial: str
    seed: int
    """Seed of the search that gave it the highest score; of its first training, if it was given."""
    stage: Stage
    """Last stage that it has passed."""
    score: float | None = None
    """Log probability under the alphas."""
    metric: Metric = ACCURACY
    """Metric of the next three values."""
    supernet: float | None = None
    val: float | None = None
    """Validation metric of the network trained from scratch."""
    tests: list[float] = field(default_factory=list)
    params: int | None = None
    multiply_adds: int | None = None
    """Multiply-adds of the network that was trained last, like `params`."""

    @property
    def name(self) -> str:
        """Short name; empty for a sample, not one of cells, that was found and not trained."""
        return short_name(self.text) if self.stage is Stage.SEARCH else trained_name(self.text)

    @property
    def of_cells(self) -> bool:
        """True if it is a genotype."""
        return bool(short_name(self.text))

    @property
    def test(self) -> float | None:
        """Mean test metric over the evaluations."""
        return statistics.fmean(self.tests) if self.tests else None

    @property
    def test_std(self) -> float | None:
        """Standard deviation of the evaluations (n - 1); None for fewer than two."""
        if len(self.tests) < 2:
            return None
        return statistics.stdev(self.tests) if all(map(math.isfinite, self.tests)) else math.nan

    @property
    def tested(self) -> str:
        """Test metric in words: `97.35 +- 0.12% (3 trainings)`; empty without one."""
        if self.test is None:
            return ""
        trainings = f"{len(self.tests)} training{'s' * (len(self.tests) > 1)}"
        return f"{self.metric.spread(self.test, self.test_std)} ({trainings})"

    def to_text(self, format: str) -> str:
        """Text in a format. Raises ValueError if the architecture has no such form."""
        return genotype_json.parse(self.text).to_text(format)


def ranked_architectures(experiment: Experiment) -> list[FoundArchitecture]:
    """Architectures, each once: the furthest first, then by validation, then by score.

    The test metric does not affect the order: it would be selected on.
    """
    known: dict[str, FoundArchitecture] = {}
    # A run whose result was handed in twice, as after a stop, counts once.
    results = {t.result.get("key", t.id): (t.id, t.result) for t in experiment.trials() if t.result}
    for trial, result in sorted(results.values(), key=lambda r: Stage(r[1]["stage"]).number):
        if result["stage"] == Stage.SEARCH:
            _add_search(known, trial, result)
        else:
            _add_training(known, trial, result)
    return sorted(
        known.values(),
        key=lambda f: (-f.stage.number, f.metric.cost(f.val), -(f.score or 0.0)),
    )


def _add_search(known: dict[str, FoundArchitecture], trial: str, result: Mapping[str, Any]) -> None:
    rank = 1
    while f"genotype_{rank}" in result:
        text, score = str(result[f"genotype_{rank}"]), float(result[f"score_{rank}"])
        name = short_name(text) or text
        before = known.get(name)
        if before is None or before.score is None or score > before.score:
            known[name] = FoundArchitecture(
                text,
                trial,
                int(result["seed"]),
                Stage.SEARCH,
                score,
                metric_of(result),
                float(result["default"]),
            )
        rank += 1


def _add_training(
    known: dict[str, FoundArchitecture], trial: str, result: Mapping[str, Any]
) -> None:
    text, metric = str(result["genotype"]), metric_of(result)
    entry = known.setdefault(
        short_name(text) or text,
        FoundArchitecture(text, trial, int(result["seed"]), Stage(result["stage"]), metric=metric),
    )
    entry.stage = Stage(result["stage"])
    # What the selection saw comes before the evaluation's, which some survivors only have.
    if entry.val is None and metric.val in result:
        entry.val = float(result[metric.val])
    if metric.test in result:
        entry.tests.append(float(result[metric.test]))
    entry.params = result.get("params", entry.params)
    entry.multiply_adds = result.get("multiply_adds", entry.multiply_adds)


def short_name(text: str) -> str:
    """Digest of a genotype; empty for a sample of a space that is not one of cells."""
    try:
        return genotype_json.digest(text)
    except ValueError:
        return ""


def trained_name(text: str) -> str:
    """The digest of an architecture that was trained, as the keys of its runs have it."""
    try:
        return short_name(text) or Sample.parse(text).digest
    except ValueError:
        return ""


def cells(text: str) -> list[str]:
    """Lines of a genotype, a cell each: `normal    2: sep_conv_3x3(0) skip_connect(1)  3: ...`.

    Each node is followed by its operations and, in parentheses, the states that they are applied
    to. A sample of a space that is not one of cells stays as it is.
    """
    try:
        genotype = genotype_json.parse(text)
    except ValueError:
        return [text]
    lines = []
    for cell in genotype.cells:
        nodes = [
            f"{state}: " + " ".join(f"{operation}({source})" for operation, source in node)
            for state, node in enumerate(cell.nodes, cell.num_inputs)
        ]
        lines.append(f"{cell.kind:<9} " + "  ".join(nodes))
    return lines
