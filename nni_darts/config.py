"""The settings of an experiment: the `classArgs` of its tuner, frozen and validated as a whole.

Neither torch nor NNI is imported: the tuner has ten seconds to start. What the arguments of a space
or a data set may be is known to the classes themselves; `nni_darts.resolve` asks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nni_darts.messages import unknown

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Hypergradient = Literal["finite_difference", "exact", "first_order"]
Precision = Literal["32-true", "64-true", "bf16-mixed"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Component(_Settings):
    """A space or a data set: its name, and the arguments for it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Search(_Settings):
    """The search; the defaults are the paper's for CIFAR-10 (section 3.1.1 and A.1.1)."""

    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(default=(0, 1, 2, 3))
    """One search each."""
    epochs: Annotated[int, Field(ge=1)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 64
    """For w, and as many again for alpha."""
    hypergradient: Hypergradient = "finite_difference"
    top_k: Annotated[int, Field(ge=1, le=1000)] = 3
    """Genotypes that a search hands on."""
    learning_rate: Positive = 0.025
    learning_rate_min: NotNegative = 0.001
    """At the end of the cosine; the reference's value, the paper says 0."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 3e-4
    gradient_clip: Positive | None = 5.0
    arc_learning_rate: Positive = 3e-4
    arc_betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.5,
        0.999,
    )
    arc_weight_decay: NotNegative = 1e-3
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs at the start in which alpha rests."""
    precision: Precision = "32-true"
    cpu_threads: Annotated[int, Field(ge=1)] | None = None
    """Of each trial; all cores by default. Trials side by side on one CPU need their share set:
    with more threads than cores, each epoch can take twenty times as long."""

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds:
            raise ValueError("at least one seed is needed")
        if len(set(seeds)) < len(seeds):
            raise ValueError("the seeds must be distinct: a seed gives the same search again")
        return seeds


class Settings(_Settings):
    """All that the tuner and the trials need."""

    space: Component
    data: Component
    search: Search = Search()


class Run(Settings):
    """One trial: what it gets from NNI as its parameters."""

    stage: Literal["search"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


T = TypeVar("T", bound=BaseModel)


class SettingsError(ValueError):
    """Settings that are wrong: one line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse(values: Mapping[str, Any]) -> Settings:
    """Settings from what a YAML file holds.

    Raises:
        SettingsError: with a line per mistake: the key, what is allowed, what came.
    """
    return _validated(Settings, values)


def parse_run(values: Mapping[str, Any]) -> Run:
    """A run from the parameters of a trial. Raises SettingsError as `parse` does."""
    return _validated(Run, values)


def _validated(model: type[T], values: Mapping[str, Any]) -> T:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError([_line(model, problem) for problem in error.errors()]) from None


def _line(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        parent = _model_at(model, location[:-1])
        return f"{key}: {unknown('key', location[-1], parent.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{key}: {message[0].lower()}{message[1:]}"
    return f"{key}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"


def _model_at(model: type[BaseModel], location: list[str]) -> type[BaseModel]:
    for name in location:
        model = cast(type[BaseModel], model.model_fields[name].annotation)
    return model
