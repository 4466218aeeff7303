"""Builders of the space, the data and the evaluator that the settings of a run name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from pytorch_lightning import LightningDataModule

from nni_darts._common import limits
from nni_darts._common.classes import class_at, with_place
from nni_darts._common.messages import shown, unknown
from nni_darts._common.validation import SettingsError, UnavailableError
from nni_darts.runs import argument_kinds
from nni_darts.runs.progressive import first_stage, method_of, require_edges
from nni_darts.search.parts import PARTS
from nni_darts.supernet.nodes import recompute
from nni_darts.tasks.base import Task
from nni_darts.tasks.components import Component
from nni_darts.tasks.registry import TASKS, of_data
from nni_darts.tasks.settings import Run, Search, Training
from nni_darts.training.bounded import built, watched
from search_spaces.cell_space import CellSpace

SPACES: Mapping[str, str] = {
    "DartsCNN": "search_spaces.DartsCNN",
    "DartsRNN": "search_spaces.DartsRNN",
    "NasBench201": "search_spaces.NasBench201",
}
"""Short names; anything else is `package.module.Class`."""
MOST: Mapping[str, int] = {
    "num_nodes": limits.NODES,
    "num_cells": limits.CELLS,
    "cells_per_stage": limits.CELLS,
    "channels": limits.CHANNELS,
    "in_channels": limits.CHANNELS,
    "num_classes": limits.CLASSES,
    "vocabulary": limits.CLASSES,
    "embedding": limits.FEATURES,
    "hidden": limits.FEATURES,
    "image_size": limits.IMAGE_SIZE,
    "num_workers": limits.WORKERS,
    "batch_size": limits.BATCH_SIZE,
    "bptt": limits.STEPS,
    "seed": limits.SEED,
}
"""Upper bounds of arguments of the spaces and data sets that ship with the package."""
_SIZES = ("channels", "num_cells", "cells_per_stage", "embedding", "hidden", "num_nodes")
_OURS = ("nni_darts", "search_spaces")


def space(component: Component, data: Any, task: Task) -> Any:
    """The model space; what the data knows of itself is the data's unless the settings say.

    Raises:
        SettingsError: there is no such class, it does not take the arguments, or is not for the
            data.
    """
    made, parameters = _space_class(component)
    tasks = list(dict.fromkeys((*TASKS, task)))
    known = [name for each in tasks for name in each.for_space]
    arguments = {
        name: getattr(data, name) for name in known if name in parameters and hasattr(data, name)
    }
    wanted = [
        name
        for name in known
        if name in parameters and parameters[name].default is inspect.Parameter.empty
    ]
    foreign = [n for n in wanted if n not in arguments and n not in component.arguments]
    if foreign or not parameters.keys() >= set(task.needed_by_space):
        taken = {other: len(parameters.keys() & other.for_space) for other in tasks}
        other = max((other for other in tasks if other != task), key=lambda other: taken[other])
        raise SettingsError(
            [
                f"space: {component.name} is for {other.name}, and the data is {task.name}; choose "
                "another space or other data"
            ]
        )
    arguments |= component.arguments
    if issubclass(made, CellSpace):
        sizes = [name for name in _SIZES if name in parameters]
        return _make("space", made, parameters, arguments, partial(built, settings=_either(sizes)))
    way = partial(watched, settings="the sizes that the space has")
    return _make("space", made, parameters, arguments, way)


def _space_class(component: Component) -> tuple[Any, Mapping[str, inspect.Parameter]]:
    """Class of a space, and its arguments."""
    from nni.nas.nn.pytorch import ModelSpace

    made = class_at(
        "space.name", "space", SPACES.get(component.name, component.name), ModelSpace, SPACES
    )
    return made, inspect.signature(_constructor(made)).parameters


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _constructor(space: Any) -> Any:
    """The `__init__` that the user wrote: NNI wraps it once more in every subclass."""
    wrapped = [vars(c)["_init_wrapped"] for c in space.__mro__ if "_init_wrapped" in vars(c)]
    return next((init for init in wrapped if init.__name__ == "__init__"), space.__init__)


def search_data(component: Component, settings: Search, task: Task) -> Any:
    """The data module of a search; what it takes of the search's settings is theirs unless it says.

    The split does not hang on the run's seed: all searches of an experiment share it, so that what
    they find can be compared on validation data that none of them trained weights on.

    Raises:
        SettingsError: there is no such data set or class, or it does not take the arguments.
    """
    given = {name: getattr(settings, name) for name in settings.for_data}
    if _is_ours(component):
        return _by_name(component, task.search_data, given)
    made = _data_class(component.name)
    parameters = inspect.signature(made).parameters
    # A class of the user's may have a batch size of its own.
    taken = {name: value for name, value in given.items() if name in parameters}
    return _make("data", made, parameters, {**taken, **component.arguments})


def parts(run: Run, load: bool = True) -> tuple[Any, Any]:
    """The data module and the model space of a search; the first stage's of a progressive one.

    Args:
        run: what to build them for.
        load: download and load the data too; without, only what is cheap is looked at.

    Raises:
        SettingsError: with a line per mistake; nothing was trained yet.
    """
    if run.search is None or run.space is None:
        raise SettingsError(["search: there is no space to search"])
    _require_parts(run.search)
    if (method := method_of(run)) is not None:
        made, parameters = _space_class(run.space)
        module, made = parts(first_stage(run, method, made, parameters.keys()), load)
        require_edges(method, made)
        return module, made
    with problems_of_the_data():
        module = search_data(run.data, run.search, run.task)
        _load(run.data, module, run.task, load)
    made = space(run.space, module, run.task)
    if run.search.own.get("recompute"):
        try:
            recompute(made)
        except ValueError as error:
            raise SettingsError([f"search.recompute: {error}"]) from None
    return module, made


def _require_parts(settings: Search) -> None:
    """SettingsError for parts of the method that cannot be made, all of them."""
    problems = []
    for name, given in _each_part(settings):
        try:
            PARTS[name].make(given)
        except ValueError as error:
            problems.append(f"search.{name}: {error}")
    if problems:
        raise SettingsError(problems)


def _each_part(settings: Search) -> Iterator[tuple[str, Any]]:
    """The argument of each part of the method, and how it was given."""
    for name, given in settings.parts.items():
        several = given if isinstance(given, list) else [given]
        yield from ((name, each) for each in several if each is not None)


def training_data(component: Component, settings: Training, seed: int, load: bool = True) -> Any:
    """The data module of a training from scratch.

    One of the user's own, of images, gets those of `batch_size`, `val_share`, `cutout` and
    `run_seed` that it takes; what is not for it to ignore, cutout, must then be off.

    Args:
        component: which data, and the arguments for it.
        settings: of the training.
        seed: of the training.
        load: as for `parts`.

    Raises:
        SettingsError: with a line per mistake; nothing was trained yet.
    """
    given = {name: getattr(settings, name) for name in settings.for_data} | {"run_seed": seed}
    task = settings.task
    with problems_of_the_data():
        if _is_ours(component):
            module = _by_name(component, task.training_data, given)
        else:
            made = _data_class(component.name)
            parameters = inspect.signature(made).parameters
            _require_taken(component, task.not_taken(settings, parameters.keys()))
            taken = {name: value for name, value in given.items() if name in parameters}
            module = _make("data", made, parameters, {**taken, **component.arguments})
        _load(component, module, task, load)
    if lacks := task.lacks_for_training(module):
        raise SettingsError([f"data: {component.name} must have {what}" for what in lacks])
    return module


def _require_taken(component: Component, not_taken: list[str]) -> None:
    if not_taken:
        raise SettingsError(
            [
                f"{name}: {component.name} takes no such argument; set {name}: 0"
                for name in not_taken
            ]
        )


def _by_name(component: Component, made: Any, given: Mapping[str, Any]) -> Any:
    """Data of a task's own class."""
    parameters = inspect.signature(made).parameters
    return _make("data", made, parameters, {"name": component.name, **given, **component.arguments})


def test_data(component: Component, batch_size: int) -> Any:
    """A data module, not loaded yet, whose test data a trained network is to be tested on.

    Raises:
        SettingsError: with a line per mistake.
    """
    task = of_data(component.name)
    module = training_data(component, task.test_settings(batch_size), 0, load=False)
    require_test(component, module, task)
    return module


def require_test(component: Component, module: Any, task: Task) -> None:
    """SettingsError where a data module cannot have test data, as far as that shows cheaply."""
    if _is_ours(component):
        with problems_of_the_data():
            task.check_test(component, module)
    elif type(module).test_dataloader is LightningDataModule.test_dataloader:
        raise SettingsError([f"data: {component.name} has no test_dataloader, evaluate needs one"])


def require_trained(component: Component | None, space: Any, task: Task) -> dict[str, Any]:
    """A sample of the space, such as a search finds.

    Raises:
        SettingsError: select and evaluate do not train such samples.
    """
    sample = {label: choice.random() for label, choice in space.simplify().items()}
    try:
        task.require_found(sample)
    except ValueError as error:
        name = "" if component is None else component.name
        raise SettingsError([f"space: {name} {error}"]) from None
    return sample


def _load(component: Component, module: Any, task: Task, load: bool) -> None:
    if load:
        try:
            module.prepare_data()
            module.setup("fit")
        except SettingsError:
            raise
        except ValueError as error:
            # A broken image, say: it can be mended, and the run is tried again then.
            raise UnavailableError([f"data: {error}"]) from None
    elif _is_ours(component):
        task.check_data(component, module)
    if lacks := task.lacks(module):
        raise SettingsError([f"data: the data module must have {what}" for what in lacks])


def _is_ours(component: Component) -> bool:
    """True if it is a data set by name, not a class of the user's (which may derive from ours)."""
    return "." not in component.name


@contextmanager
def problems_of_the_data() -> Iterator[None]:
    """Turn what is wrong with the data, within the block, into a SettingsError."""
    try:
        yield
    except SettingsError:
        raise
    except OSError as error:
        raise UnavailableError([f"data: {error}"]) from None
    except ValueError as error:
        raise SettingsError([f"data: {error}"]) from None


def _data_class(path: str) -> Any:
    return class_at("data.name", "data", path, LightningDataModule, ())


def _make(
    what: str,
    made: Any,
    parameters: Mapping[str, inspect.Parameter],
    arguments: dict[str, Any],
    way: Callable[[Callable[[], Any]], Any] = lambda make: make(),
) -> Any:
    known = [name for name in parameters if name not in ("self", "args", "kwargs")]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    problems = [
        f"{what}.{name}: {unknown('key', name, ['name', *known])}"
        for name in arguments
        if name not in known and not takes_any
    ]
    problems = problems or _misfits(what, made, arguments)
    if problems:
        raise SettingsError(problems)
    try:
        return way(lambda: made(**arguments))
    except (ValueError, TypeError) as error:
        raise SettingsError([f"{what}: {error}"]) from None
    except (OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # it is the user's
        raise SettingsError([f"{what}: {with_place(error)}"]) from None


def _misfits(what: str, made: Any, arguments: Mapping[str, Any]) -> list[str]:
    """Arguments of the wrong kind; and of a class of ours, those that are far too large."""
    wanted = argument_kinds.of(_constructor(made))
    ours = any(c.__module__.partition(".")[0] in _OURS for c in made.__mro__)
    problems = []
    for name, value in arguments.items():
        most = MOST.get(name) if ours else None
        if (words := argument_kinds.expected(value, wanted.get(name, Any))) is not None:
            problems.append(f"{what}.{name}: must be {words}, got {shown(value)}")
        elif most is not None and isinstance(value, int) and value > most:
            problems.append(f"{what}.{name}: must be at most {most}, got {shown(value)}")
    return problems
