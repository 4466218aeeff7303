"""Builder of spaces and networks that counts their weights while they are made.

The count needs no knowledge of the class, so that it serves a user's own, whose constructor may do
anything; it ends with the first weight that is too many, so that it knows no total. The networks of
`search_spaces` compute theirs beforehand (`search_spaces.places`): they must also refuse to be too
large where nobody watches, and say how large they would be.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules import module as hooks

from nni_darts._common import limits

T = TypeVar("T")


class TooLargeError(ValueError):
    """A space or a network is larger than any that is known."""


class _Beyond(BaseException):
    """Error that a user's space would not catch."""


def built(make: Callable[[], T], settings: str) -> T:
    """Module made by `make`, with weights in memory.

    It is first made without memory for its weights, and left as soon as it is too large.

    Args:
        make: function that makes the module; called twice.
        settings: settings that make the module smaller, in words, for the message.

    Raises:
        TooLargeError: it has more weights or modules than `nni_darts._common.limits` allows.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            watched(make, settings)
    except TooLargeError:
        raise
    except Exception:  # the same, or none, comes of the other attempt
        pass
    return make()


def watched(make: Callable[[], T], settings: str) -> T:
    """Module of a user's own, made once and abandoned as soon as it is too large.

    A weight counts before it is filled, so that not even one that is too large takes any memory.
    """
    try:
        with _counted(settings):
            return make()
    except _Beyond as error:
        raise TooLargeError(str(error)) from None
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise TooLargeError(f"it would take more memory than there is; lower {settings}") from None


@contextmanager
def _counted(settings: str) -> Iterator[None]:
    """Context in which _Beyond is raised by too many weights or modules."""
    counts = {"weights": 0, "modules": 0}
    alive: dict[int, weakref.ref[Any]] = {}

    def count(what: str, more: int, most: int) -> None:
        counts[what] += more
        if counts[what] > most:
            raise _Beyond(f"it would have more than {most:,} {what}; lower {settings}")

    def parameter(owner: nn.Module, name: str, value: Any) -> None:
        # Weights that are shared count once; those of the shape of others each. What is let go, as
        # the modules that a network of ours is measured by, counts no more.
        if value is None or id(value) in alive:
            return
        key, size = id(value), value.numel()

        def forget(_: Any) -> None:
            del alive[key]
            counts["weights"] -= size

        alive[key] = weakref.ref(value, forget)
        count("weights", size, limits.PARAMETERS)

    def module(owner: nn.Module, name: str, value: Any) -> None:
        count("modules", 1, limits.LAYERS)

    handles = [
        hooks.register_module_parameter_registration_hook(parameter),
        hooks.register_module_module_registration_hook(module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
