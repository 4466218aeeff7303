"""The stages of a progressive search in one run: what each searches, and what is kept of it.

A stage has a folder of its own for its checkpoints, in that of the run. What a finished stage has
left stands in a file there, so that it is not searched again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nni_darts._common import files
from nni_darts._common.seeds import mixed
from nni_darts._common.validation import SettingsError
from nni_darts.runs.identity import of_run
from nni_darts.search.parts import PROGRESSIVES
from nni_darts.search.progression import left_by, require
from nni_darts.search.progressive import Kept, Progressive, SearchStage
from nni_darts.search.strategy import UnrolledDARTS
from nni_darts.tasks.components import Component, as_given
from nni_darts.tasks.settings import Run
from nni_darts.training.identity import Identity
from nni_darts.training.run_folder import RunFolder

STAGES = "stages.json"
"""Name of the file in a run's folder with what the finished stages have left."""


@dataclass(frozen=True)
class SearchPart:
    """A search that a run does in one piece: a stage of it, or the whole."""

    run: Run
    """A run that is not progressive."""
    seed: int
    """Seed of its weights, of its alphas and of the order of its data."""
    identity: Identity
    folder: RunFolder
    """Folder of its checkpoints."""
    stage: SearchStage | None = None
    """None for the whole of a run."""


class Stages:
    """The stages of a progressive run.

    Args:
        run: the whole run.
        method: its progressive search.
        output: folder of the run.

    Raises:
        SettingsError: the folder has the stages of another run.
    """

    def __init__(self, run: Run, method: Progressive, output: Path) -> None:
        self.run = run
        self.method = method
        self.output = output
        self._left = self._stored()

    def __iter__(self) -> Iterator[SearchPart]:
        """Stages that are left to do; `finish` tells what each has left before the next one."""
        for number in range(len(self._left), self.method.num_stages):
            yield self._stage(number, self._left[-1] if number else None)

    def _stage(self, number: int, kept: Kept | None) -> SearchPart:
        stage = self.method.stage(number, kept)
        run = run_of(self.run, stage)
        assert run.space is not None
        whole = of_run(self.run)
        what = {**json.loads(whole.what), "space": run.space.model_dump(mode="json")}
        return SearchPart(
            run,
            mixed(self.run.seed, number) if number else self.run.seed,
            Identity(whole.key, json.dumps(what)),
            RunFolder.at(self.output / f"stage_{number + 1}"),
            stage,
        )

    def finish(self, part: SearchPart, strategy: UnrolledDARTS) -> None:
        """Store what a stage has left, if there is one after it."""
        stage = part.stage
        if stage is None or stage.number + 1 == self.method.num_stages:
            return
        self._left.append(left_by(self.method, stage.number, strategy))
        identity = of_run(self.run)
        content = {"key": identity.key, "settings": identity.digest, "stages": self._left}
        RunFolder.at(self.output).replace(STAGES, json.dumps(content, indent=1))

    def _stored(self) -> list[Kept]:
        """Operations that each finished stage has left, in order."""
        folder, identity = RunFolder.at(self.output), of_run(self.run)
        if not folder.exists(STAGES):
            return []
        try:
            content = files.parse_json(folder.read(STAGES), dict)
            stages = content.get("stages")
            if not isinstance(stages, list) or not all(map(_is_kept, stages)):
                raise files.DamagedError("does not hold what the stages of a search have left")
        except files.DamagedError as error:
            folder.put_aside(STAGES, str(error), "it is made again of the stages' checkpoints")
            return []
        if (content.get("key"), content.get("settings")) != (identity.key, identity.digest):
            raise SettingsError(
                [
                    f"{folder.address(STAGES)} is of another run, or of other settings; choose "
                    "another output directory, or the same settings to go on with it"
                ]
            )
        return stages[: self.method.num_stages - 1]


def _is_kept(stage: Any) -> bool:
    return isinstance(stage, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in stage.values()
    )


def method_of(run: Run) -> Progressive | None:
    """The progressive search of a run; None for a search in one piece.

    Raises:
        SettingsError: there is no such search, or it has another number of epochs.
    """
    if run.search is None or run.search.progressive is None:
        return None
    try:
        method = PROGRESSIVES.make(as_given(run.search.progressive))
    except ValueError as error:
        raise SettingsError([f"search.progressive: {error}"]) from None
    if method.total_epochs != run.search.epochs:
        raise SettingsError(
            [
                f"search.epochs must be {method.total_epochs}, those of all stages of "
                f"search.progressive, got {run.search.epochs}"
            ]
        )
    return method


def first_stage(run: Run, method: Progressive, space: Any, parameters: Set[str]) -> Run:
    """The run of the first stage, which is not progressive.

    Args:
        run: the whole run.
        method: its progressive search.
        space: class of its space.
        parameters: arguments that the space takes.

    Raises:
        SettingsError: the space does not take what the stages set, or is given it.
    """
    assert run.space is not None
    sets = method.stage(0, None).space
    if not getattr(space, "edges_may_differ", False) or not parameters >= sets.keys():
        raise SettingsError(
            [
                f"search.progressive: {run.space.name} takes no {' and no '.join(sets)}, or no "
                "primitives for each edge, which the stages set; choose DartsCNN, or leave "
                "progressive out"
            ]
        )
    if given := [name for name in run.space.arguments if name in sets]:
        raise SettingsError(
            [f"space.{n}: the stages of search.progressive set it; leave it out" for n in given]
        )
    return run_of(run, method.stage(0, None))


def run_of(run: Run, stage: SearchStage) -> Run:
    """A stage as a run that is not progressive."""
    assert run.search is not None
    assert run.space is not None
    space = Component(name=run.space.name, **{**run.space.arguments, **stage.space})
    search = run.search.model_copy(update={"epochs": stage.epochs, "progressive": None})
    return run.model_copy(update={"space": space, "search": search})


def require_edges(method: Progressive, space: Any) -> None:
    """SettingsError for a space of the first stage that the stages after it cannot cut."""
    try:
        require(method, space)
    except ValueError as error:
        raise SettingsError([f"search.progressive: {error}"]) from None
