"""The settings of an experiment: the `classArgs` of its tuner, frozen and validated as a whole.

Neither torch nor NNI is imported: the tuner has ten seconds to start. What the arguments of a space
or a data set may be is known to the classes themselves; `nni_darts.runs.build` asks them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

from pydantic import (
    ConfigDict,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nni_darts._common.fields import (
    BatchSize,
    Epochs,
    Flag,
    Genotypes,
    Handed,
    NotNegative,
    Positive,
    Seed,
    Seeds,
    Share,
    Text,
    Threads,
    TopK,
    Warmup,
)
from nni_darts._common.validation import Frozen
from nni_darts.genotypes import published
from nni_darts.tasks.base import Task
from nni_darts.tasks.stage import Stage

Hypergradient = Literal["finite_difference", "exact", "first_order"]
Precision = Literal["32-true", "64-true", "bf16-mixed", "tf32"]


class Component(Frozen):
    """A space or a data set: its name, and the arguments for it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Text

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Search(Frozen):
    """The search: what it has on images and on text alike."""

    seeds: Seeds = (0, 1, 2, 3)
    """One search each."""
    epochs: Epochs = 50
    batch_size: BatchSize = 64
    """For w, and as many again for alpha."""
    hypergradient: Hypergradient = "finite_difference"
    top_k: TopK = 3
    """Genotypes that a search hands on."""
    learning_rate: Positive = 0.025
    weight_decay: NotNegative = 3e-4
    gradient_clip: Positive | None = 5.0
    arc_learning_rate: Positive = 3e-4
    arc_betas: tuple[Share, Share] = (0.5, 0.999)
    arc_weight_decay: NotNegative = 1e-3
    warmup_epochs: Warmup = 0
    """Epochs at the start in which alpha rests."""
    precision: Precision = "32-true"
    cuda_graphs: Flag = False
    """Launch the step as a whole (`UnrolledDARTS`)."""
    cpu_threads: Threads | None = None
    """Of each trial; all cores by default. Trials side by side on one CPU need their share set:
    with more threads than cores, each epoch can take twenty times as long."""

    for_data: ClassVar[tuple[str, ...]] = ("batch_size",)
    """Those that the data takes."""

    @field_validator("warmup_epochs")
    @classmethod
    def _leaves_some(cls, warmup: int, others: ValidationInfo) -> int:
        epochs = others.data.get("epochs", warmup + 1)
        if warmup >= epochs:
            raise ValueError(
                f"must be below search.epochs, {epochs}, so that alpha is learnt at all, "
                f"got {warmup}"
            )
        return warmup

    @property
    def own(self) -> dict[str, Any]:
        """Arguments of `UnrolledDARTS` that are for one task alone."""
        return {}


class Training(Frozen):
    """Training a network from scratch: what it has on images and on text alike."""

    task: ClassVar[Task]
    for_data: ClassVar[tuple[str, ...]]
    """Those that the data takes, besides the seed of the run."""

    epochs: Epochs = 600
    batch_size: BatchSize = 96
    learning_rate: Positive = 0.025
    weight_decay: NotNegative = 3e-4
    gradient_clip: Positive | None = 5.0
    precision: Precision = "32-true"
    cpu_threads: Threads | None = None
    """As for the search."""

    @property
    def processes(self) -> int:
        """How many train together."""
        return 1

    @property
    def network(self) -> str:
        """The network that is trained, in words."""
        raise NotImplementedError

    @property
    def validates_on_its_own(self) -> bool:
        """Whether there is validation data, as far as that hangs on the settings."""
        return True


class Select(Training):
    """Which of the genotypes found is trained in full: each is trained briefly (paper, 3.2)."""

    seed: Seed = 0
    per_search: Handed = 1
    """Genotypes that each search hands on."""
    survivors: Handed = 1
    """Genotypes that are evaluated."""


class Evaluate(Training):
    """The survivors are trained in full and tested, once for each seed."""

    seeds: Seeds = (0,)


class Settings(Frozen):
    """All that the tuner and the trials need; `nni_darts.tasks.registry` has the classes for each
    task.
    """

    task: ClassVar[Task]

    space: Component | None = None
    data: Component
    search: Search | None = None
    """The paper's, if a space is given and nothing else is said."""
    genotypes: Genotypes = ()
    """Instead of a space and its search: published names, or texts in any format."""
    select: Select | None = None
    evaluate: Evaluate | None = None
    optimize_mode: Literal["maximize", "minimize"] | None = None
    """By what NNI's own pages sort the results; nothing else hangs on it. NNI knows no other way
    than an argument of its tuner, and takes "maximize" where there is none."""

    @field_validator("optimize_mode")
    @classmethod
    def _as_the_metric(cls, mode: str | None) -> str | None:
        metric = cls.task.metric
        if mode is not None and mode != metric.optimize_mode:
            raise ValueError(f"must be {metric.optimize_mode}, for the {metric.name}, got {mode}")
        return mode

    @model_validator(mode="before")
    @classmethod
    def _searches_a_space(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("space") is not None:
            return {**values, "search": {} if values.get("search") is None else values["search"]}
        return values

    @field_validator("genotypes")
    @classmethod
    def _known(cls, genotypes: tuple[str, ...]) -> tuple[str, ...]:
        for text in genotypes:
            cls.task.require(published.named(text))
        return genotypes

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if not self.genotypes and self.space is None:
            raise ValueError("space: field required (or genotypes, to train without a search)")
        if self.genotypes and (self.space or self.search):
            raise ValueError("genotypes are trained without a search: leave out space and search")
        if self.genotypes and not (self.select or self.evaluate):
            raise ValueError("genotypes are given, but neither select nor evaluate to train them")
        if self.select is None:
            return self
        handed_on = len(self.genotypes)
        if self.search is not None:
            if self.select.per_search > self.search.top_k:
                raise ValueError(
                    f"select.per_search must be at most search.top_k, {self.search.top_k}, the "
                    f"genotypes that a search finds, got {self.select.per_search}"
                )
            handed_on = self.select.per_search * len(self.search.seeds)
        elif self.select.per_search != 1:
            raise ValueError("select.per_search is for searches, and genotypes are given instead")
        if self.select.survivors > handed_on:
            raise ValueError(
                f"select.survivors must be at most {handed_on}, the genotypes that are handed on, "
                f"got {self.select.survivors}"
            )
        return self


class Run(Settings):
    """One trial: what it gets from NNI as its parameters."""

    stage: Stage
    seed: Seed
    genotype: Text | None = None
    """JSON; what select and evaluate train."""

    @model_validator(mode="after")
    def _possible(self) -> Run:
        if getattr(self, self.stage.value) is None:
            raise ValueError(f"stage: there are no settings for {self.stage}")
        if (self.genotype is None) != (self.stage is Stage.SEARCH):
            raise ValueError(f"genotype: {self.stage} takes {'none' if self.genotype else 'one'}")
        return self

    @property
    def training(self) -> Training:
        """The settings of the stage, select or evaluate; KeyError in a search."""
        trainings = {Stage.SELECT: self.select, Stage.EVALUATE: self.evaluate}
        return cast(Training, trainings[self.stage])
