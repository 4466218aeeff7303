"""Checks an experiment file before anything is launched."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from nni_darts import protocol, published
from nni_darts.collapse import parse_rules
from nni_darts.config import Settings, SettingsError
from nni_darts.files import unwritable
from nni_darts.messages import unknown
from nni_darts.redaction import redacted
from nni_darts.stored import TUNER
from nni_darts.tasks import parse, run_of

TRIAL = "nni_darts.trial"
ASSESSOR = "nni_darts.assessor.AlphaMonitor"


def check(path: Path, *, quick: bool = False) -> tuple[Any, Settings]:
    """The experiment as NNI's `ExperimentConfig`, and its settings; all is right with them.

    Nothing is downloaded or launched. The classes that the file names are imported, from the
    trialCodeDirectory as in a trial, and executed: the space is built, and a tiny step of the
    search is taken on the CPU (see `nni_darts.rehearsal`).

    Args:
        path: of the experiment file.
        quick: leave out the step.

    Raises:
        SettingsError: a line per mistake, each naming the file, the key and what is allowed.
    """
    try:
        values = _read(path)
        config = _nni_config(path, values)
        settings = _check_ours(values)
        _check_folders(config)
        with _code_on_path(config):
            _check_parts(settings)
            if not quick:
                _rehearse(settings)
    except SettingsError as error:
        raise SettingsError([f"{path}: {problem}" for problem in error.problems]) from None
    return config, settings


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError(["is not a text file in UTF-8"]) from None
    except yaml.YAMLError as error:
        raise SettingsError([f"is not valid YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(values, dict):
        raise SettingsError(
            [f"must hold the keys of an NNI experiment, got {redacted(values)!r:.60}"]
        )
    return values


def _nni_config(path: Path, values: dict[str, Any]) -> Any:
    """What NNI itself has to say of it."""
    from nni.experiment.config import ExperimentConfig, utils

    known = [utils.camel_case(field.name) for field in dataclasses.fields(ExperimentConfig)]
    plain = {utils.case_insensitive(name) for name in known}
    if problems := [
        f"{name}: {unknown('key', name, known)}"
        for name in values
        if utils.case_insensitive(str(name)) not in plain
    ]:
        raise SettingsError(problems)
    try:
        config = ExperimentConfig.load(path)
        config.canonical_copy()
    except Exception as error:  # NNI raises whatever its checks run into
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError([f"NNI does not take it: {reason}"]) from None
    finally:
        utils.unset_base_path()
    return config


def _check_ours(values: dict[str, Any]) -> Settings:
    """What NNI leaves to us: tuner, trial command and number of trials."""
    problems = []
    tuner = values.get("tuner") or {}
    if tuner.get("className") != TUNER:
        problems.append(f"tuner.className: must be {TUNER}, got {tuner.get('className')!r}")
    if "codeDirectory" not in tuner:
        problems.append(
            "tuner.codeDirectory: missing; NNI needs one to import a tuner, any folder "
            "will do where nni-darts is installed: codeDirectory: ."
        )
    problems += _assessor(values.get("assessor"))
    if TRIAL not in str(values.get("trialCommand")):
        problems.append(
            f"trialCommand: must run {TRIAL}, as in 'python -m {TRIAL}', "
            f"got {redacted(values.get('trialCommand'))!r}"
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
    """What is wrong with ours; another one, or none, is NNI's business."""
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


def _check_folders(config: Any) -> None:
    config = config.canonical_copy()
    problems = []
    folders = {
        "trialCodeDirectory": config.trial_code_directory,
        "tuner.codeDirectory": config.tuner.code_directory,
        "assessor.codeDirectory": getattr(config.assessor, "code_directory", None),
    }
    for key, folder in folders.items():
        if folder is None:
            continue
        if not Path(folder).is_dir():
            problems.append(f"{key}: there is no folder {folder}")
    if (reason := unwritable(Path(config.experiment_working_directory))) is not None:
        problems.append(f"experimentWorkingDirectory: {reason}")
    if problems:
        raise SettingsError(problems)


@contextmanager
def _code_on_path(config: Any) -> Iterator[None]:
    """Within, what lies in the trialCodeDirectory can be imported: there trials are started."""
    folder = str(config.canonical_copy().trial_code_directory)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _rehearse(settings: Settings) -> None:
    from nni_darts import rehearsal, resolve

    try:
        if settings.search is not None:
            run = run_of(settings, "search", settings.search.seeds[0])
            if (reason := rehearsal.search(run)) is not None:
                print(f"note: no step of the search was tried: {reason}", file=sys.stderr)
        for stage in ("select", "evaluate"):
            if (training := getattr(settings, stage)) is not None:
                data = resolve.training_data(settings.data, training, 0, load=False)
                rehearsal.fits(data)
    except SettingsError as error:
        raise SettingsError([f"tuner.classArgs.{problem}" for problem in error.problems]) from None


def _check_parts(settings: Settings) -> None:
    """The space, the data and the networks of every stage, as far as they are known before."""
    from nni_darts import resolve, retraining

    problems: list[str] = []
    try:
        genotypes = [published.named(text) for text in settings.genotypes]
        if settings.search is not None:
            run = run_of(settings, "search", 0)
            _, space = resolve.parts(run, load=False)
            if settings.select or settings.evaluate:
                resolve.require_cells(settings.space, space, settings.task)
            genotypes = settings.task.parts.draw(1, 0)
    except SettingsError as error:
        problems += error.problems
        genotypes = []
    for stage in ("select", "evaluate"):
        training = getattr(settings, stage)
        if training is None:
            continue
        try:
            for genotype in genotypes:
                job = retraining.Job(genotype, training, settings.data, 0, Path.cwd(), stage)
                data, _ = retraining.prepare(job, load=False)
            if stage == "evaluate" and genotypes:
                resolve.require_test(settings.data, data)
        except SettingsError as error:
            problems += [
                problem if problem.startswith("data") else f"{stage}: {problem}"
                for problem in error.problems
            ]
    if problems:
        raise SettingsError([f"tuner.classArgs.{problem}" for problem in problems])
