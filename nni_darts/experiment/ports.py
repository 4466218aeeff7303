"""Choice of a port for NNI's manager that no other experiment of the user's is about to take."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from nni_darts._common import private_folder
from nni_darts._common.validation import SettingsError

FIRST = 8080
LAST = 65535


@contextmanager
def held(wanted: int | None = None, count: int = 1) -> Iterator[int]:
    """Hold a free port, which no other process of the user's gets meanwhile through this function.

    Args:
        wanted: the wanted port; by default the first free one from `FIRST` on.
        count: number of consecutive free ports, from that one on.

    Raises:
        SettingsError: the port that is wanted is not free, or none is.
    """
    with FileLock(private_folder.folder() / "ports.lock"):
        yield _free(count) if wanted is None else _checked(wanted, count)


def _checked(port: int, count: int) -> int:
    for each in range(port, port + count):
        if not is_free(each):
            taken = f"{each}, which remote machines need, too," if each > port else str(each)
            raise SettingsError(
                [f"--port: {taken} is taken; choose another one, or leave it out for a free one"]
            )
    return port


def _free(count: int) -> int:
    for port in range(FIRST, LAST + 2 - count):
        if all(is_free(each) for each in range(port, port + count)):
            return port
    raise SettingsError([f"--port: no port from {FIRST} on is free"])


def is_free(port: int) -> bool:
    """True if nothing listens at a port, on any address."""
    if port > LAST:
        return False
    with socket.socket() as candidate:
        # Else the closed connections of who listened before would count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("", port))
        except OSError:
            return False
    with socket.socket() as candidate:
        return candidate.connect_ex(("127.0.0.1", port)) != 0
