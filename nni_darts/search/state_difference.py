"""Differences of state dicts, in words."""

from __future__ import annotations

from torch import Tensor
from torch.nn.parameter import is_lazy


def state_difference(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> str:
    """Difference of two state dicts in a few words; empty where there is none."""
    missing = [name for name in ours if name not in theirs]
    foreign = [name for name in theirs if name not in ours]
    shapes = [
        f"{name} is {tuple(theirs[name].shape)} there and {tuple(ours[name].shape)} here"
        for name in ours
        if name in theirs and not is_lazy(ours[name]) and theirs[name].shape != ours[name].shape
    ]
    parts = []
    for names, what in ((missing, "it lacks"), (foreign, "it has the unknown")):
        if names:
            parts.append(f"{what} {names[0]}" + (f" and {len(names) - 1} more" * (len(names) > 1)))
    if shapes:
        parts.append(shapes[0] + (f" and {len(shapes) - 1} more differ" * (len(shapes) > 1)))
    return ", ".join(parts)
