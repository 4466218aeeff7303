"""The tuner: `nni_darts.protocol` for NNI. It must start within ten seconds: no torch."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import nni
from nni.tuner import Tuner

from nni_darts import files, protocol
from nni_darts.config import Settings, SettingsError, parse

_logger = logging.getLogger("nni_darts.tuner")


class DartsProtocol(Tuner):
    """Issues the runs of the protocol, one per trial. `classArgs` are the settings.

    Settings that are wrong are logged and handed to the trials as they are: these check them again
    and fail with the reason in their log, where NNI's user looks; an exception here would only
    leave the experiment hanging.
    """

    def __init__(self, **class_args: Any) -> None:
        self._class_args = class_args
        self._issued: dict[str, int] = {}
        self._settings: Settings | None = None
        try:
            self._settings = parse(class_args)
        except SettingsError as error:
            for problem in error.problems:
                _logger.error("tuner.classArgs.%s", problem)

    def update_search_space(self, search_space: Any) -> None:
        """The architecture is searched inside the trials: NNI's search space stays empty."""

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        if self._settings is None:
            return {"stage": "search", "seed": 0, **self._class_args}
        run = protocol.next_run(self._settings, self._issued)
        if run is None:
            raise nni.NoMoreTrialError("all runs of the protocol have been issued")
        self._issued[protocol.key(run)] = parameter_id
        self._save()
        return run.model_dump(mode="json")

    def receive_trial_result(
        self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any
    ) -> None:
        """Nothing follows from a result yet: every run of the protocol is known at the start."""

    def load_checkpoint(self) -> None:
        """After `nnictl resume`, when NNI itself runs the unfinished trials again."""
        if (state := _state_file()) is not None and state.exists():
            self._issued = json.loads(state.read_text())

    def _save(self) -> None:
        if (state := _state_file()) is not None:
            files.write(state, json.dumps(self._issued))


def _state_file() -> Path | None:
    # NNI never asks a tuner to save its state; this is where it lets it read one.
    folder = os.environ.get("NNI_CHECKPOINT_DIRECTORY")
    return Path(folder) / "nni_darts_issued.json" if folder else None
