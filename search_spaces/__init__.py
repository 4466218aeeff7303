"""Search spaces, and the discrete networks that they lead to."""

from __future__ import annotations

import importlib
from typing import Any

# Imported when asked for: a network needs no NNI.
_HOMES = {
    "DartsCNN": "search_spaces.darts_cnn",
    "DartsNetwork": "search_spaces.darts_network",
    "DartsRNN": "search_spaces.darts_rnn",
    "DartsRNNNetwork": "search_spaces.darts_rnn_network",
    "NasBench201": "search_spaces.nas_bench_201",
    "NasBench201Network": "search_spaces.nas_bench_201_network",
}
__all__ = [
    "DartsCNN",
    "DartsNetwork",
    "DartsRNN",
    "DartsRNNNetwork",
    "NasBench201",
    "NasBench201Network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
