"""The penalty of `UnrolledDARTS`: NNI's, or its arguments, checked before a search."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

from nni.nas.oneshot.pytorch.profiler import ExpectationProfilerPenalty
from nni.nas.profiler import ExpressionProfiler

from nni_darts._common.checks import Range, choice, instance, number
from nni_darts._common.messages import shown

_ANY = Range("a number", lambda x: x == x)
_NOT_ZERO = Range("a number other than 0", lambda x: x != 0 and x == x)
_CHOICES = {
    "nonlinear": ("linear", "positive", "negative", "absolute"),
    "aggregate": ("add", "mul"),
}


def penalty_of(value: Any) -> ExpectationProfilerPenalty | None:
    """NNI's penalty from what a user gives for it.

    Raises:
        TypeError: it is neither such a penalty nor a mapping, or its profiler is of another kind.
        ValueError: an argument is unknown, lacking or out of its range.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        known = list(inspect.signature(ExpectationProfilerPenalty).parameters)
        for name in value:
            choice("argument of penalty:", name, known)
        for name in ("profiler", "baseline"):
            if name not in value:
                raise ValueError(f"penalty lacks {name}; it needs profiler and baseline")
        _check(value)
        return cast(Any, ExpectationProfilerPenalty(**value))
    if not isinstance(value, ExpectationProfilerPenalty):
        raise TypeError(
            "penalty must be an ExpectationProfilerPenalty of NNI, or a dict of its arguments, "
            f"got {shown(value)}"
        )
    _check(vars(value) | {"profiler": value.profiler})
    return value


def _check(values: Mapping[str, Any]) -> None:
    kind = "an expression profiler of NNI, such as FlopsProfiler"
    instance("penalty: profiler", values["profiler"], ExpressionProfiler, kind)
    # What the result is divided by.
    number("penalty: baseline", values["baseline"], _NOT_ZERO)
    number("penalty: scale", values.get("scale", 1.0), _ANY)
    for name, known in _CHOICES.items():
        if name in values:
            choice(f"penalty: {name}", values[name], known)
