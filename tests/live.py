"""What tests of running experiments share."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """The first true value of a condition; AssertionError if it takes too long."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it takes too long"
        time.sleep(0.05)
    return found


def free_port() -> str:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return str(candidate.getsockname()[1])
