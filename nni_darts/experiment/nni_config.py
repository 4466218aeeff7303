"""Experiments as NNI's own `ExperimentConfig`, with NNI's objections, key by key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from nni.experiment.config import ExperimentConfig, utils
from nni.experiment.config.training_service import TrainingServiceConfig

from nni_darts._common.messages import shown, unknown
from nni_darts._common.validation import SettingsError

_LOCAL = {"platform": "local"}
_MISTYPED = re.compile(
    r"(?P<owner>\w+): type of (?P<field>\w+) \((?P<value>.*)\) is not (?P<type>.*)", re.DOTALL
)


def experiment_config(values: Mapping[str, Any], folder: Path) -> Any:
    """Experiment config that has these keys.

    Args:
        values: the keys as `nni_darts.experiment.nni_keys.require` gives them.
        folder: folder to which relative paths refer.

    Raises:
        SettingsError: NNI does not take them.
    """
    try:
        config = _made(values, folder)
    except Exception as error:  # NNI raises whatever its checks run into
        raise SettingsError([_worded(error, values, folder)]) from None
    service = config.training_service
    if isinstance(service, TrainingServiceConfig) and (flags := _flags_for_numbers(service)):
        raise SettingsError(flags)
    return config


def _made(values: Mapping[str, Any], folder: Path) -> Any:
    try:
        utils.set_base_path(folder)
        config = ExperimentConfig(**values)
        _require_platforms(config.training_service)
        config.canonical_copy()
    finally:
        utils.unset_base_path()
    return config


def _require_platforms(services: Any) -> None:
    """Check the platforms, of which NNI leaves unknown ones as they are, and fails later."""
    for service in services if isinstance(services, list) else [services]:
        if isinstance(service, dict):
            known = sorted({kind.platform for kind in _kinds(TrainingServiceConfig)})
            name = service.get("platform")
            raise SettingsError([f"trainingService.platform: {unknown('platform', name, known)}"])


def _kinds(base: Any) -> list[Any]:
    found = list(base.__subclasses__())
    return [*found, *(kind for each in found for kind in _kinds(each))]


def _worded(error: Exception, values: Mapping[str, Any], folder: Path) -> str:
    if isinstance(error, SettingsError):
        return error.problems[0]
    reason = " ".join(str(error).split()) or f"{type(error).__name__}, and it does not say why"
    place = _place(values, folder)
    if (found := _MISTYPED.fullmatch(reason)) is not None:
        kind = re.sub(r"typing\.|<class '|'>|nni\.[\w.]*\.", "", found["type"])
        key = utils.camel_case(found["field"])
        key = f"{place}.{key}" if place and place != key else key
        return f"{key}: NNI does not take {found['value'][:100]}, it must be {kind}"
    return f"{f'{place}: ' if place else ''}NNI does not take it: {reason}"


def _place(values: Mapping[str, Any], folder: Path) -> str | None:
    """Key without which, or with a plain value for it, NNI takes the rest; None without one."""
    for key in values:
        others = {name: value for name, value in values.items() if name != key}
        if key == "trainingService":
            others[key] = _LOCAL
        try:
            _made(others, folder)
        except Exception:
            continue
        return key
    return None


def _flags_for_numbers(service: TrainingServiceConfig) -> list[str]:
    """Keys with a flag in place of a number: for Python, true is a number."""
    return [
        f"trainingService.{utils.camel_case(field.name)}: must be a number, got {shown(value)}"
        for field in utils.fields(service)
        if isinstance(value := getattr(service, field.name), bool)
        and not {bool, Any} & {field.type, *get_args(field.type)}
    ]
