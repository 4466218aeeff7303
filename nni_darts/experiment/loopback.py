"""Keeps NNI's manager reachable from this machine alone, unless the user says otherwise.

It would listen on all interfaces, ask for no password, hand out every file that its user can read
and start whatever it is told to. It is a Node process with the environment of who starts it, so
that a script that Node loads first, `listen.cjs`, can make it listen on loopback. `nnictl resume`
starts it without; then the tuner, its child, has the same script loaded by Node's inspector.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

HOST = "NNI_DARTS_HOST"
"""Environment variable by which the user opens a manager: `ALL`."""
LOOPBACK, ALL = "127.0.0.1", "0.0.0.0"
MARKER = "nni_darts_loopback"
"""File in the checkpoint folder of an experiment whose manager is to stay on loopback."""
TOLD = "nni_darts_exposed"
"""File in the folder of an experiment whose user was told that its manager is exposed."""
SCRIPT = Path(__file__).resolve().with_name("listen.cjs")
INSPECTOR = "http://127.0.0.1:9229/json/list"
"""Address of Node's inspector, once a signal has asked it to listen."""
_OTHERS_LOOPBACK = "127.0.0.2"
"""Address that answers on Linux if a process listens on all addresses, not only on `LOOPBACK`."""


class OpenError(RuntimeError):
    """Failure to bring a manager back to loopback."""


def node_options(environment: Mapping[str, str]) -> str:
    """The value of NODE_OPTIONS with which a manager is on loopback."""
    ours = f"--require {json.dumps(str(SCRIPT))}"
    before = environment.get("NODE_OPTIONS", "")
    return before if ours in before else f"{before} {ours}".strip()


def shell_line(environment: Mapping[str, str]) -> str:
    """Shell line after which the managers that the shell starts are on loopback."""
    return f"export NODE_OPTIONS={shlex.quote(node_options(environment))}"


def is_exposed(port: int) -> bool:
    """True if what listens at a port does so on more than loopback."""
    own = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    return any(_answers(address, port) for address in [_OTHERS_LOOPBACK, *own])


def warning(port: int) -> str:
    """Warning that says what is exposed, and how to close it."""
    return (
        f"warning: NNI's manager listens on all network interfaces, port {port}, and asks for no "
        "password: whoever reaches it can read every file that you can and run code as you; "
        "start it with `nni-darts run FILE`, or close it for all that a shell starts: "
        'eval "$(nni-darts env)"'
    )


def notice(folder: Path, port: int) -> str | None:
    """Warning for a manager that is exposed without the user's word, once an experiment.

    Args:
        folder: folder of the experiment.
        port: port of its manager.
    """
    if os.environ.get(HOST) == ALL or not is_exposed(port):
        return None
    try:
        (folder / TOLD).touch(exist_ok=False)
    except FileExistsError:
        return None
    except OSError:  # rather twice than not at all
        pass
    return warning(port)


def keep(folder: Path, port: int, manager: int | None) -> bool:
    """Move a manager that was on loopback back there; returns whether it had to be moved.

    Args:
        folder: the checkpoint folder of its experiment.
        port: port of the manager.
        manager: process id of the manager; None if it is not known.

    Raises:
        OpenError: it is not, and cannot be.
    """
    marker = folder / MARKER
    if os.environ.get(HOST) == ALL:
        marker.unlink(missing_ok=True)
    elif not is_exposed(port):
        marker.touch()
    elif marker.exists():
        _move(port, manager)
        return True
    return False


def _move(port: int, manager: int | None) -> None:
    reason = "its process was not found"
    if manager is not None:
        try:
            _evaluate(manager, f"require({json.dumps(str(SCRIPT))}).rebind({port})")
            reason = "it stayed where it was"
        except Exception as error:  # whatever a library or Node has to say of it
            reason = f"{type(error).__name__}: {error}"
    if is_exposed(port):
        raise OpenError(
            "NNI's manager was on loopback and now listens on all network interfaces, from where "
            f"it could not be moved ({reason}); it is ended. Go on with: "
            'eval "$(nni-darts env)"; nnictl resume ID'
        )


def _evaluate(process: int, code: str, patience: float = 5.0) -> None:
    """Execute JavaScript in a Node process.

    Raises:
        OSError: the inspector does not answer, as where another process has its port.
        RuntimeError: the code failed.
    """
    os.kill(process, signal.SIGUSR1)
    limit = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(INSPECTOR, timeout=patience) as answer:
                url = json.load(answer)[0]["webSocketDebuggerUrl"]
            break
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)
    said = asyncio.run(_tell(url, f"if (process.pid === {process}) {{ {code} }}"))
    if "exceptionDetails" in said.get("result", {}):
        raise RuntimeError(said["result"]["exceptionDetails"].get("text", "it failed"))


async def _tell(url: str, code: str) -> dict[str, Any]:
    from websockets import connect

    parameters = {"expression": code, "includeCommandLineAPI": True}
    async with connect(url) as connection:
        command = {"id": 1, "method": "Runtime.evaluate", "params": parameters}
        await connection.send(json.dumps(command))
        return dict(json.loads(await connection.recv()))


def _answers(address: str, port: int) -> bool:
    with socket.socket() as candidate:
        candidate.settimeout(1)
        return candidate.connect_ex((address, port)) == 0
