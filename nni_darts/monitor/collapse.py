"""Collapse of a search: the rules that define it, and the verdict on the epochs so far.

DARTS is known to drift to skip connections, which have no weights to train: the derived network is
then shallow, and poor. A mixture that is all but decided shows by its entropy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nni_darts._common import limits
from nni_darts._common.fields import Epochs, NotNegative, Whole
from nni_darts._common.validation import Frozen, validated
from nni_darts.search.early_stop import EarlyStop, Value


class Rules(Frozen):
    """The `classArgs` of `nni_darts.assessor.AlphaMonitor`."""

    on_collapse: Literal["warn", "stop"] = "warn"
    max_skips: Annotated[Whole, Field(ge=0, le=limits.NODES * 2)] = 2
    """Skip connections that the derived normal cell may have."""
    epochs: Epochs = 3
    """Epochs in a row with more than `max_skips` skip connections that make a collapse."""
    min_entropy: NotNegative | None = None
    """Mean entropy of the mixing weights (nats) below which a search has collapsed as well."""
    eigenvalue: EarlyStop | None = None
    """Growth of the largest eigenvalue of d2_alpha L_val, which a search may log, that makes a
    collapse as well. It warns: a search that is to go back has the rule itself."""

    @model_validator(mode="after")
    def _leaves_the_search_its_result(self) -> Rules:
        if self.eigenvalue is not None and self.on_collapse == "stop":
            raise ValueError(
                "eigenvalue is for on_collapse: warn: NNI ends a trial without a result, and a "
                "search that goes back to an earlier genotype has to end by itself; give its "
                "rule to the search, as search.eigenvalue.stop"
            )
        return self


def parse_rules(values: Mapping[str, Any]) -> Rules:
    """Rules from what a YAML file holds. Raises SettingsError as `nni_darts.tasks.registry.parse`
    does.
    """
    return validated(Rules, values)


@dataclass(frozen=True)
class Figures:
    """Figures of one epoch that the verdict depends on; None for what is not known."""

    epoch: int
    skips: int | None
    entropy: float | None
    eigenvalue: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A collapse."""

    first: int
    """The epoch with which it was one, counted from 0."""
    holds: bool
    """True if it still is one after the last epoch."""
    text: str
    """Line that tells the collapse in numbers; epochs are counted from 1, as on the screen."""


def judge(epochs: Sequence[Figures], rules: Rules) -> Verdict | None:
    """The verdict on the epochs of a search so far, in their order; None where all is well."""
    first, why, holds, run = -1, "", False, 0
    values: list[Value] = []
    for figures in epochs:
        skips, entropy = figures.skips, figures.entropy
        run = run + 1 if skips is not None and skips > rules.max_skips else 0
        reasons = []
        if run >= rules.epochs:
            times = "" if rules.epochs == 1 else f" for {rules.epochs} epochs in a row"
            reasons.append(
                f"{skips} skip connections in the derived normal cell, "
                f"more than {rules.max_skips}{times}"
            )
        if entropy is not None and rules.min_entropy is not None and entropy < rules.min_entropy:
            reasons.append(f"mean entropy {entropy:.4g}, below {rules.min_entropy:g}")
        if figures.eigenvalue is not None:
            values.append(Value(figures.epoch, figures.eigenvalue))
        if rules.eigenvalue is not None and (turn := rules.eigenvalue.reached(values)):
            reasons.append(turn.text)
        holds = bool(reasons)
        if reasons and first < 0:
            first, why = figures.epoch, " and ".join(reasons)
    if first < 0:
        return None
    since = "" if holds else f"; no longer so after epoch {epochs[-1].epoch + 1}"
    return Verdict(first, holds, f"collapsed after epoch {first + 1}: {why}{since}")
