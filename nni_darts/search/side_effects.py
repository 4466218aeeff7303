"""Side effects of a training step: logs, counted metrics, checked losses.

The architect's passes run the user's `training_step` too, and must do nothing of it; a step that is
captured (`nni_darts.search.cuda_graph`) must do it after each replay, when there are numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torchmetrics import Metric, MetricCollection

_DROPPED = ContextVar("nni_darts_dropped", default=False)


@contextmanager
def unlogged(module: Any) -> Iterator[None]:
    """Context in which the Lightning module's logs and counts are dropped and not recorded."""
    token = _DROPPED.set(True)
    try:
        with replaced(module, "log", lambda *args, **kwargs: None), uncounted(module.modules()):
            yield
    finally:
        _DROPPED.reset(token)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Context in which a module is in evaluation mode; each part is in its own mode afterwards."""
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for each, training in modes.items():
            each.training = training


@contextmanager
def uncounted(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Context in which the metrics among the modules count on copies.

    The original state tensors are put back; they are never modified.
    """
    metrics = [module for module in modules if isinstance(module, Metric)]
    kept = [(m, m.metric_state, m._update_count, m._computed, m._forward_cache) for m in metrics]
    for metric, state, *_ in kept:
        for name, value in state.items():
            # What is in a list is never written to, only the list itself.
            setattr(metric, name, value.clone() if isinstance(value, Tensor) else list(value))
    try:
        yield
    finally:
        for metric, state, count, computed, cache in kept:
            for name, value in state.items():
                setattr(metric, name, value)
            metric._update_count, metric._computed, metric._forward_cache = count, computed, cache


class HostCallError(RuntimeError):
    """A call that cannot be made again after a replay."""


@dataclass(frozen=True)
class HostCall:
    """Call to be made after each replay, with the values that its tensors hold by then."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def again(self) -> None:
        # Copies: whoever keeps a tensor must not see it change with the next replay.
        self.function(*copies(self.args), **copies(self.kwargs))


@contextmanager
def recorded(module: Any, functions: Iterable[tuple[Any, str]]) -> Iterator[list[HostCall]]:
    """Context in which calls to functions and to the module's metrics are recorded, not made.

    A metric that is called gives its value for the batch all the same.

    Args:
        module: the user's Lightning module.
        functions: (owner, name) of each; their first argument is a name, the second a tensor or a
            metric.

    Raises:
        HostCallError: from such a function, for a bare number: Python computed it, and a replay
            runs no Python.
    """
    calls: list[HostCall] = []
    metrics = [m for m in module.modules() if isinstance(m, Metric | MetricCollection)]
    with ExitStack() as stack:
        for owner, name in functions:
            stack.enter_context(replaced(owner, name, _noting(getattr(owner, name), calls)))
        within: list[Any] = []
        for metric in metrics:
            for name in ("update", "forward"):
                counting = _counting(metric, name, calls, within)
                stack.enter_context(replaced(metric, name, counting))
            if getattr(metric, "validate_args", False):  # it would wait for the device
                stack.enter_context(replaced(metric, "validate_args", False))
        yield calls


def _noting(function: Callable[..., Any], calls: list[HostCall]) -> Callable[..., None]:
    def note(name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(value, Tensor | Metric | MetricCollection):
            raise HostCallError(
                f"{name!r} is logged as a {type(value).__name__}, which replays cannot renew; "
                "log a tensor"
            )
        calls.append(HostCall(function, (name, *detached((value, *args))), detached(kwargs)))

    return note


def _counting(
    metric: Any, name: str, calls: list[HostCall], within: list[Any]
) -> Callable[..., Any]:
    original = getattr(metric, name)

    def count(*args: Any, **kwargs: Any) -> Any:
        # A metric that is part of another one, or that calls its own update, is counted with it.
        if within or _DROPPED.get():
            return original(*args, **kwargs)
        calls.append(HostCall(original, detached(args), detached(kwargs)))
        if name == "update":
            return None
        within.append(metric)
        try:
            with uncounted(metric.modules()):
                return original(*args, **kwargs)
        finally:
            within.pop()

    return count


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Context in which an object has another value of an attribute."""
    own = vars(owner).get(name, replaced)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is replaced:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def copies(tree: Any) -> Any:
    """Structure of tensors and others, with copies of the tensors."""
    return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, tree)


def detached(tree: Any) -> Any:
    """Structure of tensors and others, without the graphs of the tensors."""
    return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, tree)
