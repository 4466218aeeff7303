"""Imports point one way: the rooms have an order, and what must start fast stays free of torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

ORDER = (
    "nni_darts._common",
    "nni_darts.genotypes",
    "nni_darts.history",
    "nni_darts.pictures",
    "nni_darts.supernet",
    "search_spaces",
    "nni_darts.supernet.fused",
    "nni_darts.training",
    "nni_darts.search",
    "nni_darts.tasks",
    "nni_darts.runs",
    "nni_darts.monitor",
    "nni_darts.experiment",
    "nni_darts.tuner",
    "nni_darts.assessor",
    "nni_darts.trial",
    "nni_darts.cli",
    "nni_darts",
)
"""Rooms and doors: each imports from itself and from those before it."""
DOORS = ("tuner", "trial", "assessor")

PURE = (
    "nni_darts",
    "nni_darts._common",
    "nni_darts.genotypes",
    "nni_darts.history",
    "nni_darts.pictures",
    "nni_darts.supernet.decisions",
    "nni_darts.search.early_stop",
    "nni_darts.supernet.restriction",
    "nni_darts.search.parts",
    "nni_darts.search.pdarts",
    "nni_darts.search.progressive",
    "nni_darts.search.variants",
    "nni_darts.search.projection",
    "nni_darts.tasks.base",
    "nni_darts.tasks.cells",
    "nni_darts.tasks.components",
    "nni_darts.tasks.images.settings",
    "nni_darts.tasks.images.task",
    "nni_darts.tasks.language.settings",
    "nni_darts.tasks.language.task",
    "nni_darts.tasks.registry",
    "nni_darts.tasks.samples",
    "nni_darts.tasks.settings",
    "nni_darts.tasks.stage",
    "nni_darts.training.identity",
    "nni_darts.training.run_folder",
    "nni_darts.runs.run_key",
    "nni_darts.runs.identity",
    "nni_darts.monitor.collapse",
    "nni_darts.experiment.database",
    "nni_darts.experiment.guard",
    "nni_darts.monitor.page_cells",
    "nni_darts.monitor.page_data",
    "nni_darts.experiment.ledger",
    "nni_darts.experiment.loopback",
    "nni_darts.experiment.nni_database",
    "nni_darts.experiment.nni_manager",
    "nni_darts.experiment.protocol",
    "nni_darts.experiment.resumed_trials",
    "nni_darts.experiment.rows",
)
"""Rooms and modules that start fast: neither torch nor NNI."""
WITHOUT_NNI = (
    "nni_darts.supernet.nodes",
    "nni_darts.supernet.partial_channels",
    "nni_darts.supernet.relaxation",
    "nni_darts.supernet.mixture",
    "nni_darts.supernet.fused.depthwise",
    "nni_darts.supernet.fused.kinds",
    "nni_darts.supernet.fused.layout",
    "nni_darts.supernet.fused.watch",
    "nni_darts.training",
    "nni_darts.search.bilevel_step",
    "nni_darts.search.cuda_graph",
    "nni_darts.search.eigenvalue",
    "nni_darts.search.functions",
    "nni_darts.search.hypergradient",
    "nni_darts.search.loader",
    "nni_darts.search.neumann",
    "nni_darts.search.random_state",
    "nni_darts.search.side_effects",
    "nni_darts.search.twice_differentiable",
    "nni_darts.search.virtual_step",
    "nni_darts.tasks.images.augmentation",
    "nni_darts.tasks.images.batches",
    "nni_darts.tasks.images.data",
    "nni_darts.tasks.images.data_sets",
    "nni_darts.tasks.images.device_batches",
    "nni_darts.tasks.images.examination",
    "nni_darts.tasks.images.image_check",
    "nni_darts.tasks.images.networks",
    "nni_darts.tasks.images.sources",
    "nni_darts.tasks.images.training_module",
    "nni_darts.tasks.language.data",
    "nni_darts.tasks.language.examination",
    "nni_darts.tasks.language.losses",
    "nni_darts.tasks.language.networks",
    "nni_darts.tasks.language.sources",
    "nni_darts.tasks.language.streams",
    "nni_darts.tasks.language.training_module",
    "nni_darts.tasks.language.vocabulary",
    "search_spaces",
    "search_spaces.activations",
    "search_spaces.darts_network",
    "search_spaces.darts_rnn_network",
    "search_spaces.nas_bench_201_network",
    "search_spaces.operations",
)
"""Rooms and modules that a network can be trained with where NNI is not."""


class Import(NamedTuple):
    """One module that another one imports."""

    module: str
    for_types: bool
    """Below `if TYPE_CHECKING`: not imported when the program runs."""
    at_once: bool
    """When the module itself is imported, not within a function."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the packages."""
    found = {}
    for package in ("nni_darts", "search_spaces"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """What a module imports of the packages, wherever in it that stands."""
    return tuple(_imports(ast.parse(modules()[module].read_text(encoding="utf-8")), False, True))


def _imports(node: ast.AST, for_types: bool, at_once: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute"
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [name if name in modules() else str(node.module) for name in inner]
    else:
        names = []
    yield from (Import(name, for_types, at_once) for name in names if name in modules())
    only_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, for_types or only_types, at_once and not later)


def room(module: str) -> str:
    """The innermost room that the module is in."""
    rooms = [name for name in ORDER if f"{module}.".startswith(f"{name}.")]
    return max(rooms, key=len)


def arrows_up(for_types: bool) -> list[str]:
    place = {name: number for number, name in enumerate(ORDER)}
    return [
        f"{module} ({room(module)}) imports {found.module} ({room(found.module)})"
        for module in modules()
        for found in imports(module)
        # The names of the package itself are imported when they are asked for.
        if found.for_types is for_types and found.module != "nni_darts"
        if place[room(found.module)] > place[room(module)]
    ]


def test_no_import_runs_back_up() -> None:
    assert not arrows_up(for_types=False)


def test_no_import_for_types_runs_back_up() -> None:
    assert not arrows_up(for_types=True)


def test_no_import_circle() -> None:
    graph = {
        module: {i.module for i in imports(module) if i.at_once and not i.for_types} - {module}
        for module in modules()
    }
    # Raises CycleError, which names the modules.
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules())


def test_tasks_do_not_know_each_other() -> None:
    for one, other in (("images", "language"), ("language", "images")):
        for module in modules():
            if module.startswith(f"nni_darts.tasks.{one}."):
                assert not [i for i in imports(module) if f"tasks.{other}." in i.module], module


def test_only_doors_and_rooms_are_at_the_top() -> None:
    # A folder that an earlier version left has compiled modules only.
    sources = (ROOT / "nni_darts").rglob("*.py")
    top = {path.relative_to(ROOT / "nni_darts").parts[0] for path in sources}
    rooms = {name.split(".")[1] for name in ORDER if name.startswith("nni_darts.")} - set(DOORS)
    assert top == {"__init__.py", *(f"{door}.py" for door in DOORS), *rooms}


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def first_to_load(foreign: tuple[str, ...], names: list[str]) -> str:
    """The first of the modules with which one of the foreign packages is loaded; empty if none.

    All are imported by one process: a package that one of them loads stays loaded.
    """
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        f"    if found := [f for f in {foreign} if f in sys.modules]:\n"
        "        print(name, 'loads', *found)\n"
        "        break\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout


def within(places: tuple[str, ...]) -> list[str]:
    """Modules, and those of the rooms; of the two packages themselves no others."""
    roots = {"nni_darts", "search_spaces"}
    return [
        module
        for module in modules()
        if module in places
        or any(module.startswith(f"{place}.") for place in places if place not in roots)
    ]


def test_the_places_are_there() -> None:
    assert {*ORDER, *PURE, *WITHOUT_NNI} <= set(modules())


def test_neither_torch_nor_nni() -> None:
    assert not first_to_load(("torch", "nni", "pytorch_lightning"), within(PURE))


def test_no_nni() -> None:
    assert not first_to_load(("nni",), within(WITHOUT_NNI))


@pytest.mark.parametrize("name", ["genotype", "published", "random_cells"])
def test_a_genotype_needs_no_numpy(name: str) -> None:
    assert "numpy" not in loaded_by(f"nni_darts.genotypes.{name}")


@pytest.mark.parametrize(
    "module",
    [
        "nni_darts.training.checkpoint",
        "search_spaces.darts_network",
        "search_spaces.darts_rnn_network",
    ],
)
def test_a_network_needs_torch_alone(module: str) -> None:
    # torch itself may import numpy; tests/training/test_checkpoint.py does without it.
    foreign = {"nni", "pydantic", "pandas", "pytorch_lightning", "torchmetrics", "torchvision"}
    assert loaded_by(module).isdisjoint(foreign)


def test_the_tuner_starts_without_torch() -> None:
    # NNI ends the experiment when the tuner has not connected after ten seconds.
    assert loaded_by("nni_darts.tuner").isdisjoint({"torch", "pytorch_lightning"})
