"""Checks of trials' reports and results, as NNI stores them, before they are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nni_darts._common.files import DamagedError, parse_json
from nni_darts.runs.run_key import RunKey
from nni_darts.tasks.stage import Stage


def decode(data: object) -> Any:
    """Value of a row of NNI's: JSON, encoded once more by NNI.

    Raises:
        DamagedError: it is neither.
    """
    if not isinstance(data, str):
        raise DamagedError(f"is damaged: it is a {type(data).__name__}, not JSON")
    once = parse_json(data, object)
    return parse_json(once, object) if isinstance(once, str) else once


def require_report(value: Mapping[str, Any]) -> None:
    """Raise DamagedError unless it is a report of ours, as far as anything depends on it."""
    for name, right in {"epoch": _whole, "default": _number, "key": _key}.items():
        if name in value and not right(value[name]):
            raise DamagedError(f"is damaged: {name} is {value[name]!r:.60}")


def require_result(value: Mapping[str, Any]) -> None:
    """Raise DamagedError unless it is a result of ours, whole and of the right types."""
    needed = ["stage", "key", "seed", "default"]
    searched = value.get("stage") == Stage.SEARCH
    needed += ["genotype_1", "score_1"] if searched else ["genotype"]
    if "stage" in value and not _CHECKS["stage"](value["stage"]):
        needed = ["stage"]
    if lacking := [name for name in needed if name not in value]:
        raise DamagedError(f"is damaged: it has no {lacking[0]}")
    for name, content in value.items():
        right = _check_of(str(name))
        if right is not None and not right(content):
            raise DamagedError(f"is damaged: {name} is {content!r:.60}")
    for name in value:
        if name.startswith("genotype_") and name.replace("genotype", "score") not in value:
            raise DamagedError(f"is damaged: {name} has no score")


def _check_of(name: str) -> Callable[[Any], bool] | None:
    if re.fullmatch(r"genotype(_\d+)?", name):
        return _json
    if re.fullmatch(r"score_\d+|(val|test|train)_\w+", name):
        return _number
    return _CHECKS.get(name)


def _text(content: Any) -> bool:
    return isinstance(content, str)


def _file(content: Any) -> bool:
    """True if it is a path of a file in a folder."""
    return isinstance(content, str) and content.startswith("/") and content.count("/") > 1


def _key(content: Any) -> bool:
    try:
        RunKey.parse(content)
    except ValueError:
        return False
    return True


def _whole(content: Any) -> bool:
    # What a table of 64 bits can hold.
    return isinstance(content, int) and not isinstance(content, bool) and 0 <= content < 2**63


def _number(content: Any) -> bool:
    """True if it is a number; NaN and infinities are numbers, as a loss may be one."""
    return isinstance(content, int | float) and not isinstance(content, bool)


def _json(content: Any) -> bool:
    try:
        return isinstance(content, str) and isinstance(parse_json(content, dict), dict)
    except DamagedError:
        return False


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "stage": lambda content: isinstance(content, str) and content in list(Stage),
    "key": _key,
    "default": _number,
    "entropy": _number,
    "seconds": _number,
    **dict.fromkeys(("seed", "params", "multiply_adds", "best_epoch", "epochs"), _whole),
    **dict.fromkeys(("device", "output"), _text),
    "weights": _file,
    **dict.fromkeys(("versions", "run"), _json),
}
