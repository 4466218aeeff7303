"""An experiment that is run, against a manager that is not NNI's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fake_manager import Server

from nni_darts._common.validation import SettingsError
from nni_darts.experiment import loopback
from nni_darts.experiment.running import GoneError, Running, StartError, require_way_back


def test_ours_is_started_asked_and_stopped(running: Running, server: Server) -> None:
    running.start(server[0])
    nni = running._nni
    assert str(loopback.SCRIPT) in nni.environment["NODE_OPTIONS"]
    assert nni.environment[loopback.HOST] == loopback.LOOPBACK
    assert running.status() == "RUNNING"
    running.stop()
    assert nni.stopped == [True]
    assert not nni.process.killed


def test_where_another_manager_took_the_port_it_is_let_be(running: Running, server: Server) -> None:
    server[1]["id"] = "another"
    with pytest.raises(StartError, match="serves experiment another, not ours: it is not asked"):
        running.start(server[0])
    assert running._nni.stopped == [False]
    assert running._nni.process.killed


def test_one_that_came_later_is_let_be_too(running: Running, server: Server) -> None:
    running.start(server[0])
    server[1]["id"] = "another"
    with pytest.raises(GoneError, match="serves experiment another"):
        running.status()
    running.stop()
    assert running._nni.stopped == [False]


def remote(ip: str | None) -> Any:
    machine = SimpleNamespace(host="gpu1", port=22, user="me")
    service = SimpleNamespace(platform="remote", machine_list=[machine])
    return SimpleNamespace(training_service=service, nni_manager_ip=ip)


def test_remote_machines_come_back_through_a_tunnel() -> None:
    commands = require_way_back(remote("127.0.0.1"), loopback.LOOPBACK, 8080)
    assert commands == ["ssh -N -R 8080:127.0.0.1:8080 -p 22 me@gpu1"]
    assert require_way_back(remote("10.0.0.1"), loopback.ALL, 8080) == []
    for ip in (None, "10.0.0.1"):
        with pytest.raises(SettingsError, match="nniManagerIp: must be 127"):
            require_way_back(remote(ip), loopback.LOOPBACK, None)
