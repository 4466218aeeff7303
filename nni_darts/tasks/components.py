"""Components of an experiment's settings: spaces, data sets and parts of a method, by name.

Neither torch nor NNI is imported; what the arguments may be is known to the classes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict

from nni_darts._common.fields import Text
from nni_darts._common.parts import Parts
from nni_darts._common.validation import Frozen
from nni_darts.search.parts import (
    HYPERGRADIENTS,
    PERTURBATIONS,
    PROGRESSIVES,
    REGULARISERS,
    RELAXATIONS,
    SELECTIONS,
)

TASK = "task"
"""The key of data that names the class of its task."""


class Component(Frozen):
    """A space or a data set: its name, and the arguments for it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Text

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Data(Component):
    """A data set: its name and arguments and, where no shipped task knows it, its task."""

    @property
    def task_class(self) -> Any:
        """The `package.module.Class` of its task; None where the name says what it is for."""
        return (self.model_extra or {}).get(TASK)

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in super().arguments.items() if name != TASK}


def _part(known: Parts[Any], value: Any) -> str | Component:
    """A name, or a name with options; the options are known to the classes themselves."""
    if isinstance(value, Component):
        return value
    try:
        name, options = known.named(value)
    except ValueError as error:
        names = " or ".join(filter(None, [", ".join(list(known)[:-1]), list(known)[-1]]))
        raise ValueError(
            f"input should be {names}, {{name: ..., option: ...}} or package.module.Class: {error}"
        ) from None
    return Component(name=name, **options) if isinstance(value, Mapping) else name


def as_given(part: str | Component) -> str | dict[str, Any]:
    """Name or name with options, as the part was given."""
    return part if isinstance(part, str) else {"name": part.name, **part.arguments}


Hypergradient = Annotated[str | Component, BeforeValidator(partial(_part, HYPERGRADIENTS))]
Selection = Annotated[str | Component, BeforeValidator(partial(_part, SELECTIONS))]
Relaxation = Annotated[str | Component, BeforeValidator(partial(_part, RELAXATIONS))]
Perturbation = Annotated[str | Component, BeforeValidator(partial(_part, PERTURBATIONS))]
Progressive = Annotated[str | Component, BeforeValidator(partial(_part, PROGRESSIVES))]
Regulariser = Annotated[str | Component, BeforeValidator(partial(_part, REGULARISERS))]
