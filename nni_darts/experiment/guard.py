"""Guard of the methods that NNI's dispatcher calls: one at a time, and no exception gets out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


class Guarded(Protocol):
    """An object with guarded methods."""

    _lock: threading.RLock
    """Held during each of them: NNI calls some from another thread than the rest."""

    def _caught(self, error: Exception) -> Any:
        """Report an exception of a method; returns what the method returns instead."""


def guarded(method: Method) -> Method:
    """A method of a `Guarded` that holds its lock, and hands it every exception.

    An exception would end NNI's dispatcher, or leave the experiment hanging.
    """

    @functools.wraps(method)
    def wrapped(self: Guarded, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                return self._caught(error)

    return cast(Method, wrapped)
