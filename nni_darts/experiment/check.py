"""Check of an experiment file before anything is launched."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nni_darts._common import yaml_file
from nni_darts._common.files import DamagedError, is_folder, unwritable
from nni_darts._common.messages import line, shown, unknown
from nni_darts._common.redaction import redacted
from nni_darts._common.validation import SettingsError
from nni_darts._common.yaml_file import YamlError
from nni_darts.experiment import nni_keys, protocol
from nni_darts.experiment.nni_database import TUNER
from nni_darts.monitor.collapse import parse_rules
from nni_darts.tasks.registry import parse, run_of
from nni_darts.tasks.settings import Settings
from nni_darts.tasks.stage import TRAININGS, Stage

TRIAL = "nni_darts.trial"
ASSESSOR = "nni_darts.assessor.AlphaMonitor"


def check(path: Path, *, quick: bool = False) -> tuple[Any, Settings]:
    """Check a file; returns the experiment as NNI's `ExperimentConfig`, and its settings.

    Nothing is downloaded or launched. The classes that the file names are imported, from the
    trialCodeDirectory as in a trial, and executed: the space is built, and a tiny step of the
    search is taken on the CPU (see `nni_darts.runs.rehearsal`).

    Args:
        path: path of the experiment file.
        quick: whether to leave out the step of the search.

    Raises:
        SettingsError: a line per mistake, each naming the file, the key and what is allowed.
    """
    from nni_darts.experiment import nni_config

    try:
        values = nni_keys.require(_read(path))
        _check_folders(values, path.parent)
        with _code_on_path(values, path.parent):
            settings = _check_ours(values)
            config = nni_config.experiment_config(values, path.parent)
            _check_parts(settings)
            if not quick:
                _rehearse(settings)
    except SettingsError as error:
        raise SettingsError([line(f"{path}: {problem}") for problem in error.problems]) from None
    return config, settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return yaml_file.read(path)
    except OSError as error:
        raise SettingsError([f"cannot be read: {error.strerror}"]) from None
    except (DamagedError, YamlError) as error:
        raise SettingsError([str(error)]) from None


def _check_ours(values: dict[str, Any]) -> Settings:
    """Check the keys that NNI leaves to us: tuner, trial command and number of trials."""
    problems = []
    tuner = values["tuner"]
    if tuner.get("className") != TUNER:
        raise SettingsError(
            [f"tuner.className: must be {TUNER}, got {shown(tuner.get('className'))}"]
        )
    if "codeDirectory" not in tuner:
        problems.append(
            "tuner.codeDirectory: missing; NNI needs one to import a tuner, any folder "
            "will do where nni-darts is installed: codeDirectory: ."
        )
    problems += _assessor(values.get("assessor"))
    if TRIAL not in str(values.get("trialCommand")):
        problems.append(
            f"trialCommand: must run {TRIAL}, as in 'python -m {TRIAL}', "
            f"got {shown(redacted(values.get('trialCommand')))}"
        )
    try:
        settings = parse(tuner.get("classArgs") or {})
    except SettingsError as error:
        problems += [f"tuner.classArgs.{problem}" for problem in error.problems]
        raise SettingsError(problems) from None
    planned = protocol.planned(settings)
    if values.get("maxTrialNumber") != planned:
        problems.append(
            f"maxTrialNumber: must be {planned}, the number of runs of the protocol if none fails, "
            f"got {values.get('maxTrialNumber')!r}; NNI ends an experiment at this number only"
        )
    if problems:
        raise SettingsError(problems)
    return settings


def _assessor(values: Any) -> list[str]:
    """Mistakes in our assessor; another assessor, or none, is NNI's business."""
    if not isinstance(values, dict) or not str(values.get("className")).startswith("nni_darts."):
        return []
    if values["className"] != ASSESSOR:
        return [f"assessor.className: {unknown('assessor', values['className'], [ASSESSOR])}"]
    if "codeDirectory" not in values:
        return ["assessor.codeDirectory: missing; any folder will do: codeDirectory: ."]
    try:
        parse_rules(values.get("classArgs") or {})
    except SettingsError as error:
        return [f"assessor.classArgs.{problem}" for problem in error.problems]
    return []


def _check_folders(values: dict[str, Any], base: Path) -> None:
    from nni.experiment.config.utils import resolve_path

    problems = []
    for key in ("trialCodeDirectory", "tuner.codeDirectory", "assessor.codeDirectory"):
        part, _, name = key.rpartition(".")
        folder = ((values.get(part) or {}) if part else values).get(name)
        if folder is not None and not is_folder(path := Path(resolve_path(folder, base))):
            problems.append(f"{key}: there is no folder {path}")
    working = values.get("experimentWorkingDirectory", "~/nni-experiments")
    if (reason := unwritable(Path(resolve_path(working, base)))) is not None:
        problems.append(f"experimentWorkingDirectory: {reason}")
    if problems:
        raise SettingsError(problems)


@contextmanager
def _code_on_path(values: dict[str, Any], base: Path) -> Iterator[None]:
    """Context in which the trialCodeDirectory can be imported from: trials are started there."""
    from nni.experiment.config.utils import resolve_path

    folder = str(resolve_path(values.get("trialCodeDirectory", "."), base))
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _rehearse(settings: Settings) -> None:
    from nni_darts.runs import build, rehearsal

    try:
        if settings.search is not None:
            run = run_of(settings, Stage.SEARCH, settings.search.seeds[0])
            if (reason := rehearsal.search(run)) is not None:
                print(f"note: no step of the search was tried: {reason}", file=sys.stderr)
        for stage in TRAININGS:
            if (training := getattr(settings, stage.value)) is not None:
                data = build.training_data(settings.data, training, 0, load=False)
                rehearsal.fits(data)
    except SettingsError as error:
        raise SettingsError([f"tuner.classArgs.{problem}" for problem in error.problems]) from None


def _check_parts(settings: Settings) -> None:
    """Check the space, the data and the networks of every stage, as far as they are known yet."""
    from nni_darts.runs import build, train

    problems: list[str] = []
    try:
        genotypes: Sequence[Any] = [settings.task.given(text) for text in settings.genotypes]
        if settings.search is not None:
            run = run_of(settings, Stage.SEARCH, 0)
            _, space = build.parts(run, load=False)
            if settings.select or settings.evaluate:
                found = build.require_trained(settings.space, space, settings.task)
                genotypes = settings.task.drawn(1, 0) or [
                    settings.task.architecture(json.dumps(found))
                ]
    except SettingsError as error:
        problems += error.problems
        genotypes = []
    for stage in TRAININGS:
        training = getattr(settings, stage.value)
        if training is None:
            continue
        try:
            for genotype in genotypes:
                job = train.Job(genotype, training, settings.data, 0, Path.cwd(), stage.value)
                data, _ = train.prepare(job, load=False)
            if stage is Stage.EVALUATE and genotypes:
                build.require_test(settings.data, data, settings.task)
        except SettingsError as error:
            problems += [
                problem if problem.startswith("data") else f"{stage}: {problem}"
                for problem in error.problems
            ]
    if problems:
        raise SettingsError([f"tuner.classArgs.{problem}" for problem in problems])
