"""Reproduction of an experiment, or of one of its trainings: file, commands, versions, seeds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from nni_darts._common.messages import printable_lines
from nni_darts._common.redaction import redacted
from nni_darts.experiment import protocol, results
from nni_darts.experiment.architectures import FoundArchitecture
from nni_darts.experiment.nni_database import Experiment
from nni_darts.tasks.components import Component
from nni_darts.tasks.settings import Settings, Training

FILE = "experiment.yml"
"""Name of the experiment file in the commands."""

_DEFAULTS = {
    "experimentType": "hpo",
    "useAnnotation": False,
    "debug": False,
    "logLevel": "info",
    "maxTrialNumberPerGpu": 1,
    "reuseMode": False,
}
"""Keys that NNI adds to the file of a user, who may have written the same."""
_DATA_FLAGS = {
    "root": "--root",
    "image_size": "--image-size",
    "num_workers": "--num-workers",
    "seed": "--split-seed",
}


def experiment_file(experiment: Experiment) -> str:
    """The experiment file (YAML) without what NNI added to it. `nni-darts check` takes it.

    Passwords and their like are left out.
    """
    config = experiment.config()
    file = _plain(redacted(config))
    # In these, null may differ from what is left out.
    file["tuner"]["classArgs"] = redacted(config["tuner"].get("classArgs") or {})
    # The tuner changes NNI's number when runs fail or find the same.
    file["maxTrialNumber"] = protocol.planned(results.settings(experiment))
    if file.get("experimentWorkingDirectory") == str(Path.home() / "nni-experiments"):
        del file["experimentWorkingDirectory"]
    service = file.get("trainingService")
    if isinstance(service, dict):
        # NNI repeats there what stands at the top.
        shown = redacted(config)
        file["trainingService"] = {k: v for k, v in service.items() if shown.get(k) != v}
    text = yaml.dump(file, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    # In the quotes of `_text` these escapes are read back as what they stand for.
    return printable_lines(text)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {k: v for k, v in value.items() if v is not None and _DEFAULTS.get(k) != v}
    return {k: _plain(v) for k, v in kept.items()}


class _Dumper(yaml.SafeDumper):
    """YAML dumper that writes lists of plain values in one line, all else in a line each."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.SequenceNode:
    flow = not any(isinstance(item, dict | list) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = None if data.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(list, _list)
_Dumper.add_representer(str, _text)


def commands(
    settings: Settings, best: FoundArchitecture | None, weights: str | None
) -> list[tuple[str, str]]:
    """Commands to do parts of the experiment again, each with a title.

    Args:
        settings: settings of the experiment.
        best: the genotype to train again, if there is one.
        weights: weights of its first evaluation, if it had one.
    """
    data = settings.data
    made = [("The whole experiment, from the file above", f"nni-darts run {FILE}")]
    # The command trains cells on the shipped tasks; arguments of a user's own data have no flags.
    if (
        best is None
        or not best.of_cells
        or data.task_class
        or set(data.arguments) - set(_DATA_FLAGS)
    ):
        return made
    training: Training
    if settings.evaluate is not None:
        training, seed, how = settings.evaluate, settings.evaluate.seeds[0], "as to evaluate it"
    elif settings.select is not None:
        training, seed, how = settings.select, settings.select.seed, "as to select it"
    else:
        training, seed = settings.task.training(), 0
        how = "with the paper's settings, which its flags change"
    made.append((f"{best.name} trained from scratch, {how}", retrain(best, training, data, seed)))
    last = "best.ckpt" if training.validates_on_its_own else "last.ckpt"
    fresh = f"retrain-{best.name}-{data.name}-{seed}/{last}"
    made.append(("The test of what that gave", evaluate(fresh, data)))
    if weights is not None:
        made.append(("The test of the weights of this experiment", evaluate(weights, data)))
    return made


def retrain(genotype: FoundArchitecture, training: Training, data: Component, seed: int) -> str:
    """The command that trains a genotype with these settings."""
    words = ["nni-darts", "retrain", genotype.text, *_data(data, _DATA_FLAGS), "--seed", str(seed)]
    for name, field in training.task.training.model_fields.items():
        if (value := getattr(training, name)) != field.default:
            words += [f"--{name.replace('_', '-')}", "none" if value is None else str(value)]
    return shlex.join(words)


def evaluate(weights: str, data: Component) -> str:
    """The command that tests a network."""
    # Which images validate does not matter to a test.
    flags = {name: flag for name, flag in _DATA_FLAGS.items() if name != "seed"}
    return shlex.join(["nni-darts", "evaluate", weights, *_data(data, flags)])


def _data(data: Component, flags: Mapping[str, str]) -> list[str]:
    words = ["--data", data.name]
    for name, value in data.arguments.items():
        if name in flags and value is not None:
            words += [flags[name], str(redacted(value))]
    return words


def versions(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """Versions that the results name: a line, or several if they differ."""
    texts = dict.fromkeys(str(r["versions"]) for r in reports if "versions" in r)
    return [
        ", ".join(f"{name} {version}" for name, version in json.loads(text).items())
        for text in texts
    ]


def seeds(settings: Settings) -> str:
    """The seeds of all stages."""
    parts = list(settings.task.data_seeds(settings.data))
    if settings.search is not None:
        parts.append(f"search {', '.join(map(str, settings.search.seeds))}")
    if settings.select is not None:
        parts.append(f"select {settings.select.seed}")
    if settings.evaluate is not None:
        parts.append(f"evaluate {', '.join(map(str, settings.evaluate.seeds))}")
    return "; ".join(parts)
