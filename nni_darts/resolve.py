"""From settings to objects: the space, the data and the evaluator that a run names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from nni_darts.config import Component, Run, SettingsError
from nni_darts.messages import unknown

SPACES: Mapping[str, str] = {"DartsCNN": "search_spaces.DartsCNN"}
"""Short names; anything else is `package.module.Class`."""


def space(component: Component, data: Any) -> Any:
    """The model space; `num_classes` and `in_channels` are the data's unless the settings say.

    Raises:
        SettingsError: there is no such class, or it does not take the arguments.
    """
    from nni.nas.nn.pytorch import ModelSpace

    made = _class("space", SPACES.get(component.name, component.name), ModelSpace, SPACES)
    parameters = inspect.signature(_constructor(made)).parameters
    arguments = {
        name: getattr(data, name)
        for name in ("num_classes", "in_channels")
        if name in parameters and hasattr(data, name)
    }
    return _make("space", made, parameters, {**arguments, **component.arguments})


def _constructor(space: Any) -> Any:
    """The `__init__` that the user wrote: NNI wraps it once more in every subclass."""
    wrapped = [vars(c)["_init_wrapped"] for c in space.__mro__ if "_init_wrapped" in vars(c)]
    return next((init for init in wrapped if init.__name__ == "__init__"), space.__init__)


def data(component: Component, batch_size: int) -> Any:
    """The data module of a run; the batch size is the search's unless the settings say.

    The split does not hang on the run's seed: all searches of an experiment share it, so that what
    they find can be compared on validation data that none of them trained weights on.

    Raises:
        SettingsError: there is no such data set or class, or it does not take the arguments.
    """
    from pytorch_lightning import LightningDataModule

    from nni_darts.data import BilevelData

    arguments = {"batch_size": batch_size, **component.arguments}
    if "." not in component.name:
        parameters = inspect.signature(BilevelData).parameters
        return _make("data", BilevelData, parameters, {"name": component.name, **arguments})
    made = _class("data", component.name, LightningDataModule, {})
    parameters = inspect.signature(made).parameters
    # A class of the user's may have a batch size of its own.
    if "batch_size" not in parameters and "batch_size" not in component.arguments:
        del arguments["batch_size"]
    return _make("data", made, parameters, arguments)


def parts(run: Run, load: bool = True) -> tuple[Any, Any]:
    """The data module and the model space of a run.

    Args:
        run: what to build them for.
        load: download and load the data too; without, only what is cheap is looked at.

    Raises:
        SettingsError: with a line per mistake; nothing was trained yet.
    """
    from nni_darts.data import BilevelData
    from nni_darts.data_sets import check

    module = data(run.data, run.search.batch_size)
    try:
        if load:
            module.prepare_data()
            module.setup("fit")
        elif isinstance(module, BilevelData):
            check(run.data.name, run.data.arguments.get("root"))
        if not hasattr(module, "num_classes"):
            raise SettingsError(["data: the data module must have an attribute num_classes"])
        return module, space(run.space, module)
    except SettingsError:
        raise
    except (ValueError, OSError) as error:
        raise SettingsError([f"data: {error}"]) from None


def _class(what: str, path: str, base: type, short: Mapping[str, str]) -> Any:
    module_name, _, name = path.rpartition(".")
    if not module_name:
        hint = "or give an importable package.module.Class"
        raise SettingsError([f"{what}.name: {unknown(what, path, short)}; {hint}"])
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SettingsError([f"{what}.name: cannot import {module_name!r}: {error}"]) from None
    if not hasattr(module, name):
        public = [n for n, value in vars(module).items() if isinstance(value, type)]
        public += list(getattr(module, "__all__", []))
        raise SettingsError(
            [f"{what}.name: {unknown(f'class in {module_name}', name, sorted(set(public)))}"]
        )
    found = getattr(module, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise SettingsError([f"{what}.name: {path} must be a subclass of {base.__name__}"])
    return found


def _make(
    what: str, made: Any, parameters: Mapping[str, inspect.Parameter], arguments: dict[str, Any]
) -> Any:
    known = [name for name in parameters if name not in ("self", "args", "kwargs")]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    problems = [
        f"{what}.{name}: {unknown('key', name, ['name', *known])}"
        for name in arguments
        if name not in known and not takes_any
    ]
    if problems:
        raise SettingsError(problems)
    try:
        return made(**arguments)
    except (ValueError, TypeError) as error:
        raise SettingsError([f"{what}: {error}"]) from None
