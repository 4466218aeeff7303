"""Runs of a search with parts of the user's own, which are in tests/runs/test_build.py."""

from __future__ import annotations

from typing import Any

from nni_darts.tasks.registry import parse_run
from nni_darts.tasks.settings import Run

RUN: dict[str, Any] = {
    "stage": "search",
    "seed": 0,
    "space": {"name": "spaces.Plain"},
    "data": {"name": "test_build.MyData"},
    "search": {"seeds": [0], "epochs": 1, "batch_size": 8, "arc_learning_rate": 0.1},
}


def relaxed(given: Any) -> Run:
    """The same with another relaxation."""
    return parse_run({**RUN, "search": {**RUN["search"], "relaxation": given}})
