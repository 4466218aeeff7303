"""Detects changes of modules since they were planned to run together."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import attrgetter
from typing import Any

from torch import nn
from torch.nn.modules import module as global_hooks

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = [
    getattr(global_hooks, name)
    for name in (
        "_global_forward_hooks",
        "_global_forward_pre_hooks",
        "_global_backward_hooks",
        "_global_backward_pre_hooks",
    )
]
_METHODS = {"forward", "_reduction"}
"""Methods that an instance may have itself, in place of those of its class."""


def hooked(module: nn.Module) -> bool:
    """True if a module has hooks, or a method put in place of its class's own."""
    hooks = [getattr(module, name) for name in _HOOKS]
    return any(hooks) or any(_GLOBAL_HOOKS) or not _METHODS.isdisjoint(vars(module))


def settings(module: nn.Module) -> tuple[Any, ...]:
    """Class of one of torch's modules, with all settings that it was made with."""
    return (type(module), *(getattr(module, name) for name in _constants(type(module))))


def _constants(kind: type[nn.Module]) -> tuple[str, ...]:
    return tuple(getattr(kind, "__constants__", ()))


class Watch:
    """State of modules, compared with a later one; made anew in every forward pass.

    It sees modules that are replaced, added or removed, settings, hooks and methods that are put
    on, and parameters that come where there were none. Values of parameters are nobody's business.

    Args:
        containers: modules that hold the others, and are not run.
        parents: modules that run the operations; of their settings `__constants__` are seen.
        operations: they are watched with all that is in them. None of these may have hooks, nor may
            the parents.
    """

    def __init__(
        self,
        containers: Iterable[nn.Module],
        parents: Iterable[nn.Module],
        operations: Iterable[nn.Module],
    ) -> None:
        self._parts = [part for operation in operations for part in operation.modules()]
        self._run = [*parents, *self._parts]
        self._children = [module._modules for module in (*containers, *self._run)]
        self._hooks = [getattr(module, name) for module in self._run for name in _HOOKS]
        self._tensors: list[dict[str, Any]] = [
            tensors for part in self._parts for tensors in (part._parameters, part._buffers)
        ]
        of_kind: dict[type[nn.Module], list[nn.Module]] = {}
        for part in self._run:
            of_kind.setdefault(type(part), []).append(part)
        # Reads all settings of all modules of a kind without a step of Python for each.
        self._readers = [
            (attrgetter(*names), parts)
            for kind, parts in of_kind.items()
            if (names := _constants(kind))
        ]
        self._seen = self._look()

    def unchanged(self) -> bool:
        return not any(self._hooks) and not any(_GLOBAL_HOOKS) and self._look() == self._seen

    def _look(self) -> list[list[Any]]:
        tensors = chain.from_iterable(map(dict.values, self._tensors))
        return [
            list(chain.from_iterable(map(dict.values, self._children))),
            list(map(type, self._run)),
            list(map(len, map(vars, self._run))),
            [tensor is None for tensor in tensors],
            *(list(map(read, parts)) for read, parts in self._readers),
        ]
