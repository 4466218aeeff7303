"""Differentiable architecture search with the unrolled, second-order architect, for NNI 3.0.

The public names are imported when they are asked for: NNI gives its tuner ten seconds to start, so
that importing the package must not import torch or NNI.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nni_darts.genotypes.derivation import derive, top_k
    from nni_darts.genotypes.genotype import Genotype
    from nni_darts.search.functions import exact, finite_difference, first_order
    from nni_darts.search.strategy import UnrolledDARTS
    from nni_darts.tasks.images.data import BilevelData
    from nni_darts.training.checkpoint import load

_HOMES = {
    "BilevelData": "tasks.images.data",
    "Genotype": "genotypes.genotype",
    "UnrolledDARTS": "search.strategy",
    "derive": "genotypes.derivation",
    "exact": "search.functions",
    "finite_difference": "search.functions",
    "first_order": "search.functions",
    "load": "training.checkpoint",
    "top_k": "genotypes.derivation",
}
__all__ = [
    "BilevelData",
    "Genotype",
    "UnrolledDARTS",
    "derive",
    "exact",
    "finite_difference",
    "first_order",
    "load",
    "top_k",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
