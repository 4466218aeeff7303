"""Every mistake in an experiment file is one line that names the file and the key, soon."""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import ROOT, R
from nni_darts._common import limits
from nni_darts._common.validation import SettingsError
from nni_darts.cli.main import main
from nni_darts.experiment import check
from nni_darts.genotypes.random_cells import draw

SECONDS = 5.0
MISSING: Any = object()

SEARCH: dict[str, Any] = {
    "trialCommand": "python -m nni_darts.trial",
    "trialCodeDirectory": ".",
    "trialConcurrency": 1,
    "maxTrialNumber": 4,
    "searchSpace": {},
    "trainingService": {"platform": "local"},
    "tuner": {
        "codeDirectory": ".",
        "className": "nni_darts.tuner.DartsProtocol",
        "classArgs": {
            "space": {"name": "DartsCNN", "channels": 4, "num_cells": 3, "num_nodes": 1},
            "data": {"name": "digits"},
            "search": {"seeds": [0, 1], "epochs": 2, "batch_size": 8, "top_k": 2},
            "select": {
                **{"channels": 4, "num_cells": 3, "epochs": 1, "batch_size": 8, "cutout": 2},
                "auxiliary_weight": 0,
            },
            "evaluate": {
                **{"channels": 4, "num_cells": 3, "epochs": 1, "batch_size": 8, "cutout": 2},
                **{"auxiliary_weight": 0, "seeds": [0]},
            },
        },
    },
}
SEARCH["maxTrialNumber"] = 5  # two searches, what each selects, the best
TEXT: dict[str, Any] = copy.deepcopy(SEARCH)
TEXT["tuner"]["classArgs"] = {
    "space": {"name": "DartsRNN", "embedding": 4, "hidden": 4, "num_nodes": 1},
    "data": {"name": "alice"},
    "search": {"seeds": [0, 1], "epochs": 2, "batch_size": 8, "bptt": 5},
    "select": {"embedding": 4, "hidden": 4, "epochs": 1, "batch_size": 8, "bptt": 5},
    "evaluate": {"embedding": 4, "hidden": 4, "epochs": 1, "batch_size": 8, "bptt": 5},
}
GIVEN: dict[str, Any] = copy.deepcopy(SEARCH)
GIVEN["maxTrialNumber"] = 1
GIVEN["tuner"]["classArgs"] = {
    "genotypes": ["DARTS_V2"],
    "data": {"name": "digits"},
    "evaluate": copy.deepcopy(SEARCH["tuner"]["classArgs"]["evaluate"]),
}
MONITOR = {"codeDirectory": ".", "className": "nni_darts.assessor.AlphaMonitor"}

OURS = "tuner.classArgs."

PACKAGE = """
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from pytorch_lightning import LightningDataModule
from torch import nn


class Space(ModelSpace):
    def __init__(self, width: int = 4, rate: float = 0, deep: bool = False, what: str = "") -> None:
        super().__init__()
        if what == "exit":
            raise SystemExit("no")
        if what == "recursion":
            raise RecursionError("too deep")
        if what == "key":
            {}["x"]
        if what == "lines":
            raise ValueError("one\\ntwo\\x1b[2J")
        self.choice = LayerChoice([nn.Linear(width, width), nn.Identity()], label="a")

    def forward(self, x):
        return self.choice(x)


class Data(LightningDataModule):
    num_classes = 10

    def __init__(self, count: int = 1) -> None:
        super().__init__()
        assert count > 0, "nothing"


NUMBER = 3
"""
MODULES = {
    "exits": "raise SystemExit(3)",
    "recursive": "raise RecursionError('too deep')",
    "broken": "def f(:",
    "divides": "1 / 0",
    "lacks": "import no_such_module_anywhere",
}


@pytest.fixture
def package(tmp_path: Path) -> Iterator[None]:
    """`badpkg` beside the experiment file, with modules that cannot be imported."""
    (tmp_path / "badpkg").mkdir()
    (tmp_path / "badpkg/__init__.py").write_text(PACKAGE)
    for name, text in MODULES.items():
        (tmp_path / f"badpkg/{name}.py").write_text(text)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "badpkg"]:
        del sys.modules[name]


def changed(values: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """The same with one key changed, added, or, MISSING, taken out."""
    values = copy.deepcopy(values)
    *path, last = place.split(".")
    inner = values
    for name in path:
        inner = inner[name]
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return values


def written(folder: Path, values: dict[str, Any] | str | bytes) -> Path:
    path = folder / "experiment.yml"
    if isinstance(values, dict):
        values = yaml.safe_dump(values)
    path.write_bytes(values if isinstance(values, bytes) else values.encode())
    return path


def problem(path: Path) -> str:
    """The one line that is wrong with a file, without its name."""
    wall, cpu = time.perf_counter(), time.process_time()
    with pytest.raises(SettingsError) as caught:
        check.check(path, quick=True)
    assert time.process_time() - cpu < SECONDS
    assert time.perf_counter() - wall < 12 * SECONDS  # others may be at work on this machine
    (line,) = caught.value.problems
    assert line.isprintable()
    assert len(line) < 3_000
    assert line.startswith(f"{path}: ")
    assert "Traceback" not in line
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize("values", [SEARCH, TEXT, GIVEN])
def test_what_the_mistakes_are_made_in_is_right(values: dict[str, Any], tmp_path: Path) -> None:
    check.check(written(tmp_path, values), quick=True)


# One key is changed.

TOO_LARGE: list[tuple[dict[str, Any], str, Any, int]] = [
    (SEARCH, "search.epochs", 10**9, limits.EPOCHS),
    (SEARCH, "search.batch_size", 10**9, limits.BATCH_SIZE),
    (SEARCH, "search.top_k", 10**9, limits.TOP_K),
    (SEARCH, "search.cpu_threads", 10**9, limits.THREADS),
    (SEARCH, "search.warmup_epochs", 10**9, limits.EPOCHS),
    (SEARCH, "search.seeds", list(range(limits.SEEDS + 1)), limits.SEEDS),
    (SEARCH, "search.seeds.1", 2**32, limits.SEED),
    (SEARCH, "select.per_search", 10**9, limits.GENOTYPES),
    (SEARCH, "select.survivors", 10**9, limits.GENOTYPES),
    (SEARCH, "select.seed", 2**32, limits.SEED),
    (SEARCH, "evaluate.num_cells", 10**9, limits.CELLS),
    (SEARCH, "evaluate.channels", 10**9, limits.CHANNELS),
    (SEARCH, "evaluate.devices", 10**9, limits.DEVICES),
    (SEARCH, "evaluate.cutout", 10**9, limits.IMAGE_SIZE),
    (SEARCH, "evaluate.epochs", 2**53 - 1, limits.EPOCHS),
    (SEARCH, "evaluate.seeds", list(range(limits.SEEDS + 1)), limits.SEEDS),
    (SEARCH, "space.num_nodes", 10**9, limits.NODES),
    (SEARCH, "space.num_cells", 10**9, limits.CELLS),
    (SEARCH, "space.channels", 10**9, limits.CHANNELS),
    (SEARCH, "space.num_classes", 10**9, limits.CLASSES),
    (SEARCH, "data.image_size", 10**9, limits.IMAGE_SIZE),
    (SEARCH, "data.num_workers", 10**9, limits.WORKERS),
    (GIVEN, "genotypes", ["DARTS_V2"] * (limits.GENOTYPES + 1), limits.GENOTYPES),
    (TEXT, "search.bptt", 10**9, limits.STEPS),
    (TEXT, "select.embedding", 10**9, limits.FEATURES),
    (TEXT, "evaluate.hidden", 10**9, limits.FEATURES),
    (TEXT, "evaluate.nonmonotone", 10**9, limits.EPOCHS),
    (TEXT, "evaluate.bptt", 10**9, limits.STEPS),
    (TEXT, "space.hidden", 10**9, limits.FEATURES),
    (TEXT, "space.embedding", 10**9, limits.FEATURES),
    (TEXT, "space.num_nodes", 10**9, limits.NODES),
]


@pytest.mark.parametrize(("values", "key", "value", "most"), TOO_LARGE)
def test_too_large(values: dict[str, Any], key: str, value: Any, most: int, tmp_path: Path) -> None:
    place = OURS + key
    if key == "search.seeds.1":
        values = changed(values, OURS + "search.seeds", [0, value])
    else:
        values = changed(values, place, value)
    line = problem(written(tmp_path, values))
    assert line.startswith(f"{place}: ")
    assert str(most) in line


TOGETHER: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # Each number is allowed by itself.
    (
        SEARCH,
        {"space.partial_channels": 3},
        "space: partial_channels=3 must divide the 4 channels of an edge; choose 2 or 4",
    ),
    (SEARCH, {"space.partial_channels": 0}, "space: partial_channels must be at least 1, got 0"),
    (SEARCH, {"space.channels": 65_536}, "space: it would have more than 2,000,000,000 weights"),
    (
        SEARCH,
        {"space.num_cells": 1_000, "space.num_nodes": 64},
        "space: channels 4, num_cells 1000, num_classes 10, in_channels 1 with 64 states of a",
    ),
    (TEXT, {"space.hidden": 65_536, "space.embedding": 65_536}, "space: vocabulary 1332, hid"),
    (SEARCH, {"evaluate.channels": 65_536}, "evaluate: it would have more than 2,000,000,000 weig"),
    (SEARCH, {"select.channels": 4_096, "select.num_cells": 200}, "select: it would have more tha"),
    (GIVEN, {"evaluate.num_cells": 1_000}, "evaluate: it would have more than 30,000 modules; low"),
    (
        TEXT,
        {"select.hidden": 65_536, "select.embedding": 65_536},
        "select: vocabulary 1332, hidden 65536 and num_nodes 8 would make 85,986,641,204",
    ),
]


@pytest.mark.parametrize(("values", "changes", "expected"), TOGETHER)
def test_too_large_together(
    values: dict[str, Any], changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    for key, value in changes.items():
        values = changed(values, OURS + key, value)
    assert problem(written(tmp_path, values)).startswith(OURS + expected)


KINDS: list[tuple[dict[str, Any], str, Any]] = [
    # true is not 1, 1.0 is not 1, and neither is "1".
    (SEARCH, "search.epochs", True),
    (SEARCH, "search.epochs", 2.0),
    (SEARCH, "search.epochs", "2"),
    (SEARCH, "search.epochs", None),
    (SEARCH, "search.epochs", [2]),
    (SEARCH, "search.epochs", {"a": 2}),
    (SEARCH, "search.batch_size", True),
    (SEARCH, "search.top_k", True),
    (SEARCH, "search.cpu_threads", True),
    (SEARCH, "search.cpu_threads", "all"),
    (SEARCH, "search.warmup_epochs", True),
    (SEARCH, "search.warmup_epochs", 2),
    (SEARCH, "search.learning_rate", True),
    (SEARCH, "search.learning_rate", "0.025"),
    (SEARCH, "search.learning_rate", "1e999"),
    (SEARCH, "search.learning_rate", [0.025]),
    (SEARCH, "search.learning_rate", float("nan")),
    (SEARCH, "search.learning_rate", float("inf")),
    (SEARCH, "search.weight_decay", False),
    (SEARCH, "search.gradient_clip", float("-inf")),
    (SEARCH, "search.arc_betas", 0.5),
    (SEARCH, "search.arc_betas", [0.5, 0.9, 0.9]),
    (SEARCH, "search.arc_betas", {"a": 0.5}),
    (SEARCH, "search.fused", 1),
    (SEARCH, "search.fused", "yes"),
    (SEARCH, "search.cuda_graphs", 0),
    (SEARCH, "search.precision", 32),
    (SEARCH, "search.precision", ["32-true"]),
    (SEARCH, "search.hypergradient", None),
    (SEARCH, "search.seeds", 0),
    (SEARCH, "search.seeds", "01"),
    (SEARCH, "search.seeds", {"a": 1}),
    (SEARCH, "search.seeds", None),
    (SEARCH, "search", "default"),
    (SEARCH, "search", [1]),
    (SEARCH, "search", 7),
    (SEARCH, "select", True),
    (SEARCH, "select.survivors", True),
    (SEARCH, "evaluate", "yes"),
    (SEARCH, "evaluate.devices", True),
    (SEARCH, "evaluate.val_share", True),
    (SEARCH, "evaluate.drop_path", "0.2"),
    (SEARCH, "evaluate.stem", 1),
    (SEARCH, "space", "DartsCNN"),
    (SEARCH, "space", ["DartsCNN"]),
    (SEARCH, "space", 3),
    (SEARCH, "space.name", 3),
    (SEARCH, "space.name", True),
    (SEARCH, "space.name", ["DartsCNN"]),
    (SEARCH, "space.name", None),
    (SEARCH, "space.channels", True),
    (SEARCH, "space.channels", "16"),
    (SEARCH, "space.channels", 16.0),
    (SEARCH, "space.channels", [16]),
    (SEARCH, "space.channels", None),
    (SEARCH, "space.num_nodes", "four"),
    (SEARCH, "space.num_nodes", {"normal": 4}),
    (SEARCH, "space.num_cells", 8.5),
    (SEARCH, "space.primitives", "skip_connect"),
    (SEARCH, "space.primitives", [["skip_connect"]]),
    (SEARCH, "space.primitives", [3]),
    (SEARCH, "space.primitives", {"skip_connect": 1}),
    (SEARCH, "space.stem", 3),
    (SEARCH, "space.nodes", -3),
    (SEARCH, "space.partial_channels", "four"),
    (SEARCH, "space.partial_channel", 4),
    (SEARCH, "space.edge_weights", "yes"),
    (TEXT, "space.partial_channels", 4),
    (TEXT, "space.edge_weights", True),
    (SEARCH, "data", "digits"),
    (SEARCH, "data", None),
    (SEARCH, "data.name", 3),
    (SEARCH, "data.image_size", True),
    (SEARCH, "data.image_size", "8"),
    (SEARCH, "data.root", 3),
    (SEARCH, "data.on_device", 1),
    (SEARCH, "genotypes", "DARTS_V2"),
    (SEARCH, "optimize_mode", True),
    (TEXT, "space.dropout_x", "much"),
    (TEXT, "space.hidden", True),
    (TEXT, "evaluate.dropout_e", True),
    (TEXT, "evaluate.nonmonotone", True),
    (TEXT, "search.slowness", float("nan")),
    (TEXT, "data.root", ["a"]),
]


@pytest.mark.parametrize(("values", "key", "value"), KINDS)
def test_kinds(values: dict[str, Any], key: str, value: Any, tmp_path: Path) -> None:
    line = problem(written(tmp_path, changed(values, OURS + key, value)))
    if key == "search.arc_betas" and isinstance(value, list):
        assert line.startswith(f"{OURS}{key}")
    else:
        assert line.startswith(f"{OURS}{key}: ")
    assert "got" in line or "unknown key" in line


NNI: list[tuple[str, Any, str]] = [
    ("tuner", MISSING, "tuner: field required"),
    ("tuner", None, "tuner: input should be keys"),
    ("tuner", 3, "tuner: input should be keys"),
    ("tuner", "DartsProtocol", "tuner: input should be keys"),
    ("tuner", ["DartsProtocol"], "tuner: input should be keys"),
    ("tuner", {}, "tuner.className: must be nni_darts.tuner.DartsProtocol, got None"),
    ("tuner", {"name": "TPE"}, "tuner.className: must be nni_darts.tuner.DartsProtocol, got None"),
    ("tuner.className", "nni_darts.tuner.Protocol", "tuner.className: must be"),
    ("tuner.className", 3, "tuner.className: input should be a text, got 3"),
    ("tuner.className", ["a"], "tuner.className: input should be a text"),
    ("tuner.class", "x", "tuner.class: unknown key 'class'; did you mean 'className'?"),
    ("tuner.class_args", {}, "tuner.class_args: is the same key as classArgs"),
    ("tuner.classArgs", [1], "tuner.classArgs: input should be keys"),
    ("tuner.classArgs", "space", "tuner.classArgs: input should be keys"),
    ("tuner.classArgs", 0, "tuner.classArgs: input should be keys"),
    ("tuner.classArgs", False, "tuner.classArgs: input should be keys"),
    ("tuner.codeDirectory", 3, "tuner.codeDirectory: input should be a text"),
    ("tuner.codeDirectory", "/nowhere", "tuner.codeDirectory: there is no folder /nowhere"),
    ("tuner.codeDirectory", MISSING, "tuner.codeDirectory: missing"),
    ("tuner.codeDirectory", "a" * 300, "tuner.codeDirectory: there is no folder"),
    ("tuner.codeDirectory", "a\0b", "tuner.codeDirectory: line "),
    ("assessor", [MONITOR], "assessor: input should be keys"),
    ("assessor", "AlphaMonitor", "assessor: input should be keys"),
    ("assessor", {}, "assessor: NNI does not take it"),
    ("assessor", {**MONITOR, "className": "nni_darts.assessor.Alpha"}, "assessor.className: unk"),
    ("assessor", {**MONITOR, "classArgs": [1]}, "assessor.classArgs: input should be keys"),
    ("assessor", {**MONITOR, "codeDirectory": "/x"}, "assessor.codeDirectory: there is no folder"),
    *(
        ("assessor", {**MONITOR, "classArgs": {key: value}}, f"assessor.classArgs.{key}: {what}")
        for key, value, what in [
            ("max_skips", True, "input should be a valid integer, got True"),
            ("max_skips", 10**9, f"input should be less than or equal to {2 * limits.NODES}"),
            ("epochs", "3", "input should be a valid integer, got '3'"),
            ("epochs", 10**9, f"input should be less than or equal to {limits.EPOCHS}"),
            ("min_entropy", "low", "input should be a valid number, got 'low'"),
            ("min_entropy", True, "input should be a valid number, got True"),
            ("on_collapse", 3, "input should be"),
            ("skips", 3, "unknown key 'skips'; did you mean 'max_skips'?"),
        ]
    ),
    ("advisor", {"name": "BOHB"}, "advisor: must be left out"),
    ("useAnnotation", True, "useAnnotation: must be false or left out"),
    ("useAnnotation", 1, "useAnnotation: input should be true or false, got 1"),
    (
        "searchSpaceFile",
        "space.json",
        "searchSpaceFile: must be left out: the space is tuner.class",
    ),
    ("searchSpace", {"lr": {"_type": "choice"}}, "searchSpace: must be {}: the architecture"),
    ("searchSpace", [], "searchSpace: must be {}: the architecture"),
    ("searchSpace", 0, "searchSpace: must be {}: the architecture"),
    ("experimentType", "nas", "experimentType: input should be 'hpo', got 'nas'"),
    ("experimentName", 3, "experimentName: input should be a text, got 3"),
    ("trialCommand", 3, "trialCommand: input should be a text, got 3"),
    ("trialCommand", ["python"], "trialCommand: input should be a text"),
    ("trialCommand", "python train.py", "trialCommand: must run nni_darts.trial"),
    ("trial_command", "python train.py", "trial_command: is the same key as trialCommand"),
    ("trialCodeDirectory", "", "trialCodeDirectory: must be a path of 1 to 4095 bytes"),
    ("trialCodeDirectory", "a" * 5000, "trialCodeDirectory: must be a path of 1 to 4095 bytes"),
    ("trialCodeDirectory", "a" * 300, "trialCodeDirectory: there is no folder"),
    ("trialCodeDirectory", "/dev/null", "trialCodeDirectory: there is no folder /dev/null"),
    ("trialCodeDirectory", ["."], "trialCodeDirectory: input should be a text"),
    ("trialConcurrency", "two", "trialConcurrency: input should be a valid integer, got 'two'"),
    ("trialConcurrency", True, "trialConcurrency: input should be a valid integer, got True"),
    ("trialConcurrency", 1.5, "trialConcurrency: input should be a valid integer, got 1.5"),
    ("trialConcurrency", 0, "trialConcurrency: input should be greater than or equal to 1, got 0"),
    ("trialConcurrency", 10**9, f"trialConcurrency: input should be less than or equal to {10**4}"),
    ("trialConcurrency", None, "trialConcurrency: input should be a valid integer, got None"),
    ("trialGpuNumber", "one", "trialGpuNumber: input should be a valid integer"),
    ("trialGpuNumber", -1, "trialGpuNumber: input should be greater than or equal to 0"),
    ("maxTrialNumber", "five", "maxTrialNumber: input should be a valid integer"),
    ("maxTrialNumber", 5.0, "maxTrialNumber: input should be a valid integer, got 5.0"),
    ("maxTrialNumber", 10**9, "maxTrialNumber: must be 5, the number of runs"),
    ("maxTrialNumber", -1, "maxTrialNumber: must be 5, the number of runs"),
    ("maxTrialNumber", 2**64, "maxTrialNumber: line "),
    ("maxExperimentDuration", "soon", "maxExperimentDuration: must be a time such as 30m"),
    ("maxExperimentDuration", True, "maxExperimentDuration: must be a time such as 30m"),
    ("maxExperimentDuration", [1], "maxExperimentDuration: must be a time such as 30m"),
    ("maxExperimentDuration", -3, "maxExperimentDuration: must be a time such as 30m"),
    ("maxTrialDuration", "s", "maxTrialDuration: must be a time such as 30m"),
    ("maxTrialDuration", "9" * 400 + "d", "maxTrialDuration: must be a time such as 30m"),
    ("nniManagerIp", 3, "nniManagerIp: input should be a text, got 3"),
    ("debug", 1, "debug: input should be true or false, got 1"),
    ("logLevel", "loud", "logLevel: input should be 'fatal'"),
    ("experimentWorkingDirectory", 3, "experimentWorkingDirectory: input should be a text"),
    ("experimentWorkingDirectory", "a\0b", "experimentWorkingDirectory: line "),
    ("experimentWorkingDirectory", "a" * 300, "experimentWorkingDirectory: "),
    ("experimentWorkingDirectory", "a/" * 3000, "experimentWorkingDirectory: must be a path of"),
    ("experimentWorkingDirectory", "/dev/null/x", "experimentWorkingDirectory: "),
    ("tunerGpuIndices", "x", "tunerGpuIndices: NNI does not take it"),
    ("tunerGpuIndices", {"a": 1}, "tunerGpuIndices: NNI does not take {'a': 1}, it must be"),
    ("trainingService", 3, "trainingService: must be keys with values, as in {platform: local}"),
    ("trainingService", "local", "trainingService: must be keys with values"),
    ("trainingService", ["local"], "trainingService: must be keys with values"),
    ("trainingService", [], "trainingService: must be keys with values"),
    ("trainingService", MISSING, "NNI does not take it: "),
    ("trainingService", {}, "trainingService.platform: unknown platform None"),
    ("trainingService.platform", "locl", "trainingService.platform: unknown platform 'locl'; did"),
    ("trainingService.platform", 3, "trainingService.platform: unknown platform 3"),
    ("trainingService.platform", ["local"], "trainingService.platform: unknown platform ['local']"),
    ("trainingService.gpu", 3, "trainingService: NNI does not take it: LocalConfig does not have"),
    ("trainingService.trialGpuNumber", "x", "trainingService.trialGpuNumber: NNI does not take 'x"),
    ("trainingService.trialGpuNumber", -1, "trainingService: NNI does not take it"),
    ("trainingService.useActiveGpu", "yes", "trainingService.useActiveGpu: NNI does not take"),
    ("trainingService.gpuIndices", "a", "trainingService: NNI does not take it"),
    ("trainingService.maxTrialNumberPerGpu", True, "trainingService.maxTrialNumberPerGpu: must be"),
    ("trainingService.trialCodeDirectory", "/x", "trainingService: NNI does not take it"),
    ("sharedStorage", 3, "sharedStorage: input should be keys"),
    ("sharedStorage", {}, "sharedStorage: NNI does not take it"),
    ("epochs", 3, "epochs: unknown key 'epochs'"),
]


@pytest.mark.parametrize(("key", "value", "expected"), NNI)
def test_keys_of_nni(key: str, value: Any, expected: str, tmp_path: Path) -> None:
    line = problem(written(tmp_path, changed(SEARCH, key, value)))
    assert line.startswith(expected)


NAMES: list[tuple[str, str]] = [
    ("", "must be a short name or package.module.Class, got ''"),
    (".", "must be a short name or package.module.Class, got '.'"),
    (".badpkg.Space", "must be a short name or package.module.Class, got '.badpkg.Space'"),
    ("..Space", "must be a short name or package.module.Class, got '..Space'"),
    ("badpkg.", "must be a short name or package.module.Class, got 'badpkg.'"),
    ("badpkg..Space", "must be a short name or package.module.Class, got 'badpkg..Space'"),
    ("bad pkg.Space", "must be a short name or package.module.Class, got 'bad pkg.Space'"),
    ("badpkg/Space", "must be a short name or package.module.Class, got 'badpkg/Space'"),
    ("badpkg.Space\n", r"must be a short name or package.module.Class, got 'badpkg.Space\n'"),
    ("no_such_package.Space", "cannot import 'no_such_package': No module named"),
    ("a." * 20_000 + "Space", "cannot import 'a.a.a"),
    ("badpkg.Spaces", "unknown class in badpkg 'Spaces'; did you mean 'Space'?"),
    ("badpkg.NUMBER", "badpkg.NUMBER must be a subclass of ModelSpace"),
    ("badpkg.exits.Space", "cannot import 'badpkg.exits': SystemExit: 3 ("),
    ("badpkg.recursive.Space", "cannot import 'badpkg.recursive': RecursionError: too deep ("),
    ("badpkg.broken.Space", "cannot import 'badpkg.broken': SyntaxError: invalid syntax"),
    (
        "badpkg.divides.Space",
        "cannot import 'badpkg.divides': ZeroDivisionError: division by zero (",
    ),
    ("badpkg.lacks.Space", "cannot import 'badpkg.lacks': No module named 'no_such_module_any"),
]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("part", "name", "expected"),
    # Without a dot it is a data set of ours.
    [(p, n, e) for n, e in NAMES for p in ("space", "data") if p == "space" or "." in n],
)
def test_names(part: str, name: str, expected: str, tmp_path: Path) -> None:
    if part == "data":
        name, expected = (text.replace("Space", "Data") for text in (name, expected))
        expected = expected.replace("ModelData", "LightningDataModule")
    values = changed(SEARCH, f"{OURS}{part}", {"name": name})
    for stage in ("select", "evaluate"):
        values = changed(values, OURS + stage, MISSING)
    line = problem(written(tmp_path, {**values, "maxTrialNumber": 2}))
    assert line.startswith(f"{OURS}{part}.name: {expected}")


ARGUMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("space", {"width": "four"}, "space.width: must be a whole number, got 'four'"),
    ("space", {"width": True}, "space.width: must be a whole number, got True"),
    ("space", {"rate": "high"}, "space.rate: must be a number, got 'high'"),
    ("space", {"deep": 1}, "space.deep: must be true or false, got 1"),
    ("space", {"what": 3}, "space.what: must be a text, got 3"),
    ("space", {"wide": 3}, "space.wide: unknown key 'wide'; did you mean 'width'?"),
    ("space", {"width": -3}, "space: RuntimeError: Trying to create tensor with negative dimens"),
    ("space", {"width": 10**5}, "space: it would "),
    ("space", {"width": 10**9}, "space: "),
    ("space", {"what": "exit"}, "space: SystemExit: no ("),
    ("space", {"what": "recursion"}, "space: RecursionError: too deep ("),
    ("space", {"what": "key"}, "space: KeyError: 'x' ("),
    ("space", {"what": "lines"}, r"space: one\ntwo\x1b[2J"),
    ("data", {"count": 0}, "data: AssertionError: nothing ("),
    ("data", {"count": "one"}, "data.count: must be a whole number, got 'one'"),
]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("part", "arguments", "expected"), ARGUMENTS)
def test_arguments_of_the_users_classes(
    part: str, arguments: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    name = "badpkg.Space" if part == "space" else "badpkg.Data"
    values = changed(SEARCH, OURS + part, {"name": name, **arguments})
    for stage in ("select", "evaluate"):
        values = changed(values, OURS + stage, MISSING)
    line = problem(written(tmp_path, {**values, "maxTrialNumber": 2}))
    assert line.startswith(OURS + expected)


@pytest.mark.parametrize(
    ("genotype", "expected"),
    [
        (3, "genotypes.0: input should be a text, got 3"),
        (None, "genotypes.0: input should be a text, got None"),
        ({"normal": []}, "genotypes.0: input should be a text"),
        ("", "genotypes: "),
        ("DARTS_V3", "genotypes: unknown genotype 'DARTS_V3'; did you mean 'DARTS_V2'?"),
        ("{", "genotypes: not a genotype: invalid JSON"),
        ("{}", "genotypes: "),
        ("[" * 5_000, "genotypes: "),
        ("Genotype(" * 500, "genotypes: "),
        ("Genotype(normal=__import__('os').system('true'))", "genotypes: not a genotype: line 1"),
        ("x" * 60_000, "genotypes: "),
        ("a\nb\x1b[2J", "genotypes: "),
        (R, "genotypes: a genotype of convolutional cells (normal and reduction) is needed"),
        (draw(1, 0)[0].to_json().replace("sep_conv", "spe_conv"), ""),
    ],
)
def test_genotypes(genotype: Any, expected: str, tmp_path: Path) -> None:
    line = problem(written(tmp_path, changed(GIVEN, f"{OURS}genotypes", [genotype])))
    assert line.startswith(OURS + expected)


# The file itself is not as it should be.

GOOD = yaml.safe_dump(SEARCH)
BOMB = "\n".join(
    ["a0: &a0 lol"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
)
MERGES = "\n".join(
    ["a0: &a0 {x: 1}"]
    + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 20)]
)
TEXTS: list[tuple[str | bytes, str]] = [
    ("", "must hold the keys of an NNI experiment, got an empty file"),
    ("# nothing\n", "must hold the keys of an NNI experiment, got an empty file"),
    ("- 1\n- 2\n", "must hold the keys of an NNI experiment, got a list"),
    ("text", "must hold the keys of an NNI experiment, got 'text'"),
    ("~", "must hold the keys of an NNI experiment, got '~'"),
    (GOOD.encode("utf-16"), "is not a text file in UTF-8"),
    (b"\xff\xfe\x00", "is not a text file in UTF-8"),
    (GOOD + "experimentName: caf\xe9\0", "is not valid YAML: "),
    (GOOD.encode() + b"experimentName: caf\xe9\n", "is not a text file in UTF-8"),
    (GOOD + "experimentName: \x1b[2J\n", "is not valid YAML: "),
    ("a: [", "is not valid YAML: "),
    ("a: 'b\n", "is not valid YAML: "),
    ("a: *b\n", "is not valid YAML: found undefined alias 'b'"),
    ("\ta: 1\n", "is not valid YAML: "),
    ("%YAML 3.0\n---\na: 1\n", "is not valid YAML: "),
    ('a: "\\U00ffffff"\n', "is not valid YAML: "),
    (f"{GOOD}---\n{GOOD}", "is not valid YAML: expected a single document in the stream"),
    (GOOD + "debug: true\ndebug: false\n", "debug: given twice, in lines "),
    (GOOD + "assessor:\n  name: a\n  name: b\n", "assessor.name: given twice, in lines "),
    (GOOD + 'debug: true\n"debug": true\n', "debug: given twice, in lines "),
    (GOOD + "1: 2\n", "line "),
    (GOOD + "true: 2\n", "line "),
    (GOOD + "~: 2\n", "line "),
    (GOOD + "'': 2\n", "line "),
    (GOOD + "[1, 2]: 3\n", "line "),
    (GOOD + "{a: 1}: 3\n", "line "),
    (GOOD + '"a\\nb": 3\n', "line "),
    (GOOD + f"{'k' * 300}: 3\n", "line "),
    (GOOD + "assessor: {1: 2}\n", "assessor: line "),
    (GOOD + "assessor: !!python/object:os.system {}\n", "assessor: line "),
    (GOOD + "assessor: !!python/object/apply:os.system ['true']\n", "assessor: line "),
    (GOOD + "assessor: !mine {a: 1}\n", "assessor: line "),
    (GOOD + "assessor: !!set {a, b}\n", "assessor: line "),
    (GOOD + "assessor: !!omap [a: 1]\n", "assessor: line "),
    (GOOD + "experimentName: !!binary aGk=\n", "experimentName: line "),
    (GOOD + "experimentName: 2024-01-01\n", "experimentName: line "),
    (GOOD + "experimentName: !!int x\n", "experimentName: line "),
    (GOOD + "experimentName: !!bool x\n", "experimentName: line "),
    (GOOD + 'experimentName: "a\\0b"\n', "experimentName: line "),
    (GOOD + 'experimentName: "a\\ud800b"\n', "experimentName: line "),
    (GOOD + f"maxTrialDuration: {'9' * 5000}\n", "maxTrialDuration: line "),
    (GOOD + f"maxTrialDuration: 0x{'f' * 5000}\n", "maxTrialDuration: line "),
    (GOOD + "maxTrialDuration: .inf\n", "maxTrialDuration: line "),
    (GOOD + "<<: 3\n", "<<: line "),
    (GOOD + "<<: [[1]]\n", "<<: line "),
    (BOMB, "a"),
    (MERGES, "a"),
    ("a: &a [*a]\n", "a.0.0: line 1: nested more than 50 levels deep"),
    ("a: &a {b: *a}\n", "a.b.b: line 1: nested more than 50 levels deep"),
    ("a: &a {<<: *a}\n", "a"),
    ("a: " + "[" * 100_000, "is not valid YAML: nested more than 50 levels deep"),
    ("a: " + "{a: " * 50_000, "is not valid YAML: nested more than 50 levels deep"),
    ("".join(f"{' ' * i}a:\n" for i in range(500)), "is not valid YAML: nested more than 50"),
    ("a: " + "x" * limits.YAML_SIZE, f"is larger than the {limits.YAML_SIZE} bytes"),
    ("a: &a " + "x" * 200_000 + "\nb: [*a, *a, *a, *a, *a]\n", "b.3: line 1: aliases expand"),
]


@pytest.mark.parametrize(("content", "expected"), TEXTS, ids=range(len(TEXTS)))
def test_texts(content: str | bytes, expected: str, tmp_path: Path) -> None:
    assert problem(written(tmp_path, content)).startswith(expected)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    check.check(written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()), quick=True)


def test_aliases_and_merges_are_followed(tmp_path: Path) -> None:
    text = (ROOT / "experiments/darts.yml").read_text().replace("..", str(ROOT))
    assert "<<: *training" in text
    _, settings = check.check(written(tmp_path, text), quick=True)
    assert settings.evaluate is not None
    assert settings.select is not None
    # What is merged, but for what stands there itself.
    assert settings.evaluate.batch_size == settings.select.batch_size == 64
    assert (settings.evaluate.epochs, settings.select.epochs) == (40, 15)


def test_keys_as_nni_takes_them_too(tmp_path: Path) -> None:
    values = copy.deepcopy(SEARCH)
    values["trial_concurrency"] = values.pop("trialConcurrency")
    values["max_trial_number"] = values.pop("maxTrialNumber")
    values["tuner"]["class_args"] = values["tuner"].pop("classArgs")
    config, _ = check.check(written(tmp_path, values), quick=True)
    assert config.max_trial_number == 5


def test_not_a_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, expected in [
        (pipe, "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path, "is a folder"),
        (tmp_path / "loop", "cannot be read: Too many levels"),
        (tmp_path / "none", "cannot be read: No such file"),
        (tmp_path / ("n" * 300), "cannot be read: File name too long"),
        (Path(f"{tmp_path}/file/x"), "cannot be read: No such file"),
    ]:
        assert problem(path).startswith(expected)


def test_many_mistakes_are_not_thousands_of_lines(tmp_path: Path) -> None:
    values = changed(SEARCH, f"{OURS}search.seeds", ["x"] * 900)
    with pytest.raises(SettingsError) as caught:
        check.check(written(tmp_path, values), quick=True)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].endswith("880 more mistakes")


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tuner", 3),
        ("trialConcurrency", "two"),
        ("tuner.classArgs.search.epochs", True),
        ("tuner.classArgs.space.num_nodes", 10**9),
        ("tuner.classArgs.space.name", ".mypkg.Class"),
        ("maxExperimentDuration", "soon"),
    ],
)
def test_the_command(
    command: str, key: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, changed(SEARCH, key, value))
    assert main([command, str(path)]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith(f"error: {path}: {key}: ")
    assert printed.out == ""


def test_the_command_on_a_file_with_a_strange_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a\x1b[2Jb\nc.yml"
    path.write_text("- 1")
    assert main(["check", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert r"a\x1b[2Jb\nc.yml: must hold the keys" in line
