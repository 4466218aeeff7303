"""The settings of an experiment: the `classArgs` of its tuner, frozen and validated as a whole.

Neither torch nor NNI is imported: the tuner has ten seconds to start. What the arguments of a space
or a data set may be is known to the classes themselves; `nni_darts.runs.build` asks them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

from pydantic import (
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
from nni_darts.search.early_stop import EarlyStop
from nni_darts.search.parts import PROGRESSIVES
from nni_darts.tasks.base import Task
from nni_darts.tasks.components import (
    Component,
    Data,
    Hypergradient,
    Perturbation,
    Progressive,
    Regulariser,
    Relaxation,
    Selection,
    as_given,
)
from nni_darts.tasks.stage import Stage

Precision = Literal["32-true", "64-true", "bf16-mixed", "tf32"]


class Eigenvalue(Frozen):
    """Settings of the largest eigenvalue of d2_alpha L_val (`nni_darts.search.eigenvalue`)."""

    batches: BatchSize = 1
    """Validation batches that it is of, the last ones of an epoch."""
    every: Epochs = 1
    """Epochs from one value to the next."""
    stop: EarlyStop | None = None
    """Rule by which the search ends and hands on earlier genotypes; None for never."""


class Search(Frozen):
    """Settings of the search that images and text share."""

    seeds: Seeds = (0, 1, 2, 3)
    """Seeds, one search each."""
    epochs: Epochs = 50
    batch_size: BatchSize = 64
    """Batch size for w, and as many again for alpha."""
    hypergradient: Hypergradient = "finite_difference"
    relaxation: Relaxation = "softmax"
    regularisers: tuple[Regulariser, ...] = ()
    perturbation: Perturbation | None = None
    selection: Selection = "strongest"
    progressive: Progressive | None = None
    """Search in stages, of which `epochs` are those of all."""
    eigenvalue: Eigenvalue | None = None
    """Measurement of the curvature of L_val in alpha after an epoch, and what follows from it."""
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
    """Threads of each trial; all cores by default. Trials side by side on one CPU need theirs set:
    with more threads than cores, each epoch can take twenty times as long."""

    for_data: ClassVar[tuple[str, ...]] = ("batch_size",)
    """Settings that the data takes."""

    @model_validator(mode="before")
    @classmethod
    def _of_all_stages(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("progressive") is None or "epochs" in values:
            return values
        try:
            method = PROGRESSIVES.make(values["progressive"])
        except ValueError:  # the part is checked by itself
            return values
        return {**values, "epochs": method.total_epochs}

    @model_validator(mode="after")
    def _progressive(self) -> Search:
        if self.progressive is None:
            return self
        for name in ("warmup_epochs", "selection"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: the stages of progressive set it; leave it out")
        if self.eigenvalue is not None and self.eigenvalue.stop is not None:
            raise ValueError(
                "eigenvalue: stop goes back within one search, and progressive has several, one "
                "after the other; leave one of them out"
            )
        return self

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

    @field_validator("eigenvalue")
    @classmethod
    def _can_go_back(cls, given: Eigenvalue | None, others: ValidationInfo) -> Eigenvalue | None:
        selection = others.data.get("selection", "strongest")
        name = selection if isinstance(selection, str) else selection.name
        if given is not None and given.stop is not None and name in ("perturbation", "subnets"):
            raise ValueError(
                f"stop goes back to genotypes of an earlier epoch, whose supernet is gone when "
                f"selection: {name} would decide, at the end; leave one of them out"
            )
        return given

    @property
    def own(self) -> dict[str, Any]:
        """Arguments of `UnrolledDARTS` that only one task has."""
        return {}

    @property
    def parts(self) -> dict[str, Any]:
        """The parts of the method as `UnrolledDARTS` takes them."""
        return {
            "hypergradient": as_given(self.hypergradient),
            "relaxation": as_given(self.relaxation),
            "regularisers": [as_given(part) for part in self.regularisers],
            "perturbation": self.perturbation and as_given(self.perturbation),
            "selection": as_given(self.selection),
        }


class Training(Frozen):
    """Settings of a training from scratch that images and text share."""

    task: ClassVar[Task]
    for_data: ClassVar[tuple[str, ...]]
    """Settings that the data takes, besides the seed of the run."""

    epochs: Epochs = 600
    batch_size: BatchSize = 96
    learning_rate: Positive = 0.025
    weight_decay: NotNegative = 3e-4
    gradient_clip: Positive | None = 5.0
    precision: Precision = "32-true"
    cpu_threads: Threads | None = None
    """Threads of each trial, as in the search."""

    @property
    def processes(self) -> int:
        """Number of processes that train together."""
        return 1

    @property
    def network(self) -> str:
        """Description of the network that is trained."""
        raise NotImplementedError

    @property
    def validates_on_its_own(self) -> bool:
        """True if the settings give validation data."""
        return True


class Select(Training):
    """Selection of the genotypes to train in full: each is trained briefly (paper, 3.2)."""

    seed: Seed = 0
    per_search: Handed = 1
    """Genotypes that each search hands on."""
    survivors: Handed = 1
    """Genotypes that are evaluated."""


class Evaluate(Training):
    """Evaluation: the survivors are trained in full and tested, once for each seed."""

    seeds: Seeds = (0,)


class Settings(Frozen):
    """Settings of an experiment, as the tuner and the trials need them; each task has a subclass,
    see `nni_darts.tasks.registry`.
    """

    task: ClassVar[Task]

    space: Component | None = None
    data: Data
    search: Search | None = None
    """Settings of the search; the paper's, if a space is given and nothing else is said."""
    genotypes: Genotypes = ()
    """Genotypes in place of a space and its search: published names, or texts in any format."""
    select: Select | None = None
    evaluate: Evaluate | None = None
    optimize_mode: Literal["maximize", "minimize"] | None = None
    """Order in which NNI's own pages sort the results; nothing else uses it. NNI knows no other way
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
            cls.task.given(text)
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
    """Parameters of one trial, as NNI hands them out."""

    stage: Stage
    seed: Seed
    genotype: Text | None = None
    """Genotype (JSON) that select and evaluate train."""

    @model_validator(mode="after")
    def _possible(self) -> Run:
        if getattr(self, self.stage.value) is None:
            raise ValueError(f"stage: there are no settings for {self.stage}")
        if (self.genotype is None) != (self.stage is Stage.SEARCH):
            raise ValueError(f"genotype: {self.stage} takes {'none' if self.genotype else 'one'}")
        return self

    @property
    def training(self) -> Training:
        """Settings of the stage, select or evaluate; KeyError in a search."""
        trainings = {Stage.SELECT: self.select, Stage.EVALUATE: self.evaluate}
        return cast(Training, trainings[self.stage])
