"""From settings to objects: the space, the data and the evaluator that a run names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import LightningDataModule

from nni_darts.config import Component, Run, SettingsError, Training
from nni_darts.data_sets import check, check_test
from nni_darts.genotype import Genotype
from nni_darts.messages import unknown
from nni_darts.node import recompute

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
    from nni_darts.data import BilevelData

    arguments = {"batch_size": batch_size, **component.arguments}
    if _is_ours(component):
        parameters = inspect.signature(BilevelData).parameters
        return _make("data", BilevelData, parameters, {"name": component.name, **arguments})
    made = _data_class(component.name)
    parameters = inspect.signature(made).parameters
    # A class of the user's may have a batch size of its own.
    if "batch_size" not in parameters and "batch_size" not in component.arguments:
        del arguments["batch_size"]
    return _make("data", made, parameters, arguments)


def parts(run: Run, load: bool = True) -> tuple[Any, Any]:
    """The data module and the model space of a search.

    Args:
        run: what to build them for.
        load: download and load the data too; without, only what is cheap is looked at.

    Raises:
        SettingsError: with a line per mistake; nothing was trained yet.
    """
    if run.search is None or run.space is None:
        raise SettingsError(["search: there is no space to search"])
    module = data(run.data, run.search.batch_size)
    with problems_of_the_data():
        _load(run.data, module, load)
    made = space(run.space, module)
    if run.search.recompute:
        try:
            recompute(made)
        except ValueError as error:
            raise SettingsError([f"search.recompute: {error}"]) from None
    return module, made


def training_data(component: Component, settings: Training, seed: int, load: bool = True) -> Any:
    """The data module of a training from scratch.

    One of the user's own gets those of `batch_size`, `val_share`, `cutout` and `run_seed` that it
    takes; what is not for it to ignore, cutout, must then be off.

    Args:
        component: which data, and the arguments for it.
        settings: of the training.
        seed: of the training.
        load: as for `parts`.

    Raises:
        SettingsError: with a line per mistake; nothing was trained yet.
    """
    from nni_darts.data import TrainingData

    given = {
        "batch_size": settings.batch_size,
        "val_share": settings.val_share,
        "cutout": settings.cutout,
        "run_seed": seed,
    }
    with problems_of_the_data():
        if _is_ours(component):
            parameters = inspect.signature(TrainingData).parameters
            arguments = {"name": component.name, **given, **component.arguments}
            module = _make("data", TrainingData, parameters, arguments)
        else:
            made = _data_class(component.name)
            parameters = inspect.signature(made).parameters
            if settings.cutout and "cutout" not in parameters:
                raise SettingsError(
                    [f"cutout: {component.name} takes no such argument; set cutout: 0"]
                )
            taken = {name: value for name, value in given.items() if name in parameters}
            module = _make("data", made, parameters, {**taken, **component.arguments})
        _load(component, module, load)
    for name, what in (("num_classes", "of the labels"), ("in_channels", "of the images")):
        if not hasattr(module, name):
            raise SettingsError([f"data: {component.name} must have an attribute {name}, {what}"])
    return module


def test_data(component: Component, batch_size: int) -> Any:
    """A data module, not loaded yet, whose test images a trained network is to be tested on.

    Raises:
        SettingsError: with a line per mistake.
    """
    alone = Training(batch_size=batch_size, val_share=0, cutout=0)
    module = training_data(component, alone, 0, load=False)
    require_test(component, module)
    return module


def require_test(component: Component, module: Any) -> None:
    """SettingsError where a data module cannot have test images, as far as that shows cheaply."""
    if _is_ours(component):
        with problems_of_the_data():
            check_test(component.name, component.arguments.get("root"))
    elif type(module).test_dataloader is LightningDataModule.test_dataloader:
        raise SettingsError([f"data: {component.name} has no test_dataloader, evaluate needs one"])


def require_cells(component: Component | None, space: Any) -> None:
    """SettingsError where what a search of the space finds is no genotype of cells."""
    sample = {label: choice.random() for label, choice in space.simplify().items()}
    try:
        genotype = Genotype.from_sample(sample, operations=[str(v) for v in sample.values()])
    except ValueError:
        genotype = None
    if genotype is None or [cell.kind for cell in genotype.cells] != ["normal", "reduce"]:
        name = "" if component is None else component.name
        raise SettingsError(
            [
                f"space: {name} is not a space of normal and reduction cells, and select and "
                "evaluate train such cells only; leave out select and evaluate"
            ]
        )


def image_size(module: Any) -> int | None:
    """Side of the square images in pixels; None where a data module of the user's does not say."""
    size = getattr(module, "image_size", None)
    return size if isinstance(size, int) else None


def input_of(module: Any) -> dict[str, Any]:
    """What a network trained on a data module takes, as far as it says."""
    size = image_size(module)
    known: dict[str, Any] = {} if size is None else {"image_size": size}
    for name in ("mean", "std"):
        if (value := getattr(module, name, None)) is not None:
            known[name] = [float(v) for v in value]
    return known


def validates(module: Any) -> bool:
    """Whether a data module that is set up has validation data."""
    own = type(module).val_dataloader is not LightningDataModule.val_dataloader
    return own and module.val_dataloader() not in (None, [], ())


def _load(component: Component, module: Any, load: bool) -> None:
    if load:
        module.prepare_data()
        module.setup("fit")
    elif _is_ours(component):
        check(component.name, component.arguments.get("root"))
    if not hasattr(module, "num_classes"):
        raise SettingsError(["data: the data module must have an attribute num_classes"])


def _is_ours(component: Component) -> bool:
    """Whether it is a data set by name, not a class of the user's (which may derive from ours)."""
    return "." not in component.name


@contextmanager
def problems_of_the_data() -> Iterator[None]:
    """Within, what is wrong with the data is a SettingsError."""
    try:
        yield
    except SettingsError:
        raise
    except (ValueError, OSError) as error:
        raise SettingsError([f"data: {error}"]) from None


def _data_class(path: str) -> Any:
    return _class("data", path, LightningDataModule, {})


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
