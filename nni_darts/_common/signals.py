"""Ends a command or a trial when it is told to: Ctrl-C, a kill, a terminal that is closed.

Exit statuses are those of a shell, 128 and the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asks this process to end: no exception that a library would take for its own."""

    def __init__(self, number: int) -> None:
        super().__init__(ended_by(number))
        self.number = number

    @property
    def status(self) -> int:
        return 128 + self.number


def ended_by(number: int) -> str:
    return f"ended by {signal.Signals(number).name}"


@contextmanager
def handled_by(handler: Callable[[int, Any], Any] | signal.Handlers) -> Iterator[None]:
    """Let a handler take all these signals, except ignored ones (nohup), in a `with` block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def raised(number: int, frame: Any) -> None:
    """Signal handler that raises `Ended`, for a process that has something to put in order."""
    raise Ended(number)


def dying(last_words: Callable[[], str], *, by_the_signal: bool = False) -> Callable[..., None]:
    """Signal handler that ends the process at once, with one line, and whatever it started.

    Checkpoints are written as a whole or not at all: there is nothing to put in order.

    Args:
        last_words: progress of the run and how to resume it, for the line.
        by_the_signal: end by the signal itself instead of an exit status, as the parent expects.
    """

    def die(number: int, frame: Any) -> None:
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        # One of several processes that train together speaks.
        if int(os.environ.get("LOCAL_RANK", 0)) == 0:
            with suppress(OSError):  # the terminal may be closed
                # In the middle of a print, another one would fail.
                os.write(2, _line(number, last_words))
        import psutil

        for child in psutil.Process().children(recursive=True):
            child.kill()
        if by_the_signal:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        os._exit(128 + number)

    return die


def _line(number: int, last_words: Callable[[], str]) -> bytes:
    try:
        return f"{ended_by(number)} {last_words()}\n".encode()
    except Exception:  # the end comes first
        return f"{ended_by(number)}\n".encode()
