"""Experiments that this process runs: started, asked and stopped through NNI's own class.

The manager at the port may be another experiment's, as where two are started at once: nothing is
asked of it, and it is not stopped.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from nni_darts._common.validation import SettingsError
from nni_darts.experiment import loopback, nni_database, nni_manager, ports


class StartError(RuntimeError):
    """NNI could not start the experiment."""


class GoneError(RuntimeError):
    """Absence of a manager's answer, or the answer of another experiment's manager."""


class Running:
    """An experiment and its manager.

    Args:
        config: NNI's `ExperimentConfig`.
        host: `loopback.LOOPBACK`, or `loopback.ALL` for all network interfaces.
    """

    def __init__(self, config: Any, host: str) -> None:
        from nni.experiment import Experiment

        logging.getLogger("nni").setLevel(logging.ERROR)
        self._host = host
        self._is_local = getattr(config.training_service, "platform", None) == "local"
        self._nni = Experiment(config)
        folder = Path(config.canonical_copy().experiment_working_directory) / self._nni.id
        self.id: str = self._nni.id
        self.port = 0
        self.stored = nni_database.Experiment(self.id, folder)

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self, port: int | None = None) -> None:
        """Start the manager, at a free port by default.

        Raises:
            SettingsError: the port is taken.
            StartError: NNI could not start it.
        """
        from nni.experiment import RunMode

        os.environ[loopback.HOST] = self._host
        os.environ["NODE_OPTIONS"] = loopback.node_options(os.environ)
        # Remote machines have another port.
        with ports.held(port, 1 if self._is_local else 2) as self.port:
            try:
                self._nni.start(self.port, run_mode=RunMode.Background)
                self._require_ours()
            except Exception as error:  # NNI raises whatever stood in its way
                self.stop()
                raise StartError(f"NNI could not start the experiment: {error}") from None

    def status(self) -> str:
        """Status of the experiment in NNI's words. Raises GoneError."""
        try:
            self._require_ours()
            return str(self._nni.get_status())
        except OSError as error:
            raise GoneError(f"NNI's manager is gone: {error}") from None

    def stop(self) -> None:
        """Stop the experiment and its manager, but never another experiment's."""
        try:
            self._require_ours()
        except OSError:
            # NNI would ask whatever is at the port to stop.
            process, self._nni._proc = self._nni._proc, None
            if process is not None:
                process.kill()
                process.wait()
        self._nni.stop()

    def _require_ours(self) -> None:
        nni_manager.require(f"{self.address}/api/v1/nni", self.id)


def require_way_back(config: Any, host: str, port: int | None) -> list[str]:
    """Commands by which remote machines reach a manager on loopback: SSH reverse tunnels.

    Args:
        config: NNI's `ExperimentConfig`.
        host: address on which the manager listens.
        port: port of the manager, if it is known.

    Raises:
        SettingsError: remote machines are told another address than the end of a tunnel.
    """
    service = config.training_service
    if host != loopback.LOOPBACK or getattr(service, "platform", None) != "remote":
        return []
    if config.nni_manager_ip not in (loopback.LOOPBACK, "localhost"):
        raise SettingsError(
            [
                f"nniManagerIp: must be {loopback.LOOPBACK}, where an SSH reverse tunnel ends, got "
                f"{config.nni_manager_ip!r}; or open the manager to the network: --host "
                f"{loopback.ALL}"
            ]
        )
    number = "PORT" if port is None else str(port)
    return [
        f"ssh -N -R {number}:{loopback.LOOPBACK}:{number} -p {machine.port} "
        f"{machine.user}@{machine.host}"
        for machine in service.machine_list
    ]
