"""Differentiable architecture search with the unrolled, second-order architect, for NNI 3.0.

The public names are imported when they are asked for: NNI gives its tuner ten seconds to start, so
that importing the package must not import torch or NNI.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nni_darts._common.schedule import Linear, Schedule
    from nni_darts.genotypes.derivation import derive, top_k
    from nni_darts.genotypes.genotype import Genotype
    from nni_darts.search.adversarial import Adversarial
    from nni_darts.search.eigenvalue import Eigenvalue
    from nni_darts.search.functions import exact, finite_difference, first_order
    from nni_darts.search.hypergradient import Exact, FiniteDifference, FirstOrder, Hypergradient
    from nni_darts.search.neumann import Neumann
    from nni_darts.search.pdarts import PDarts
    from nni_darts.search.perturbation import Perturbation, RandomSmoothing
    from nni_darts.search.perturbation_based import PerturbationBased
    from nni_darts.search.progression import progressive_search
    from nni_darts.search.progressive import Progressive
    from nni_darts.search.regulariser import KL, L2, BetaDecay, Regulariser, ZeroOne
    from nni_darts.search.selection import Selection, Strongest
    from nni_darts.search.skip_limit import SkipLimit
    from nni_darts.search.strategy import UnrolledDARTS
    from nni_darts.search.subnets import Subnets
    from nni_darts.supernet.dirichlet import Dirichlet
    from nni_darts.supernet.gumbel import Gumbel
    from nni_darts.supernet.relaxation import Relaxation, Softmax
    from nni_darts.supernet.sigmoid import Sigmoid
    from nni_darts.tasks.images.data import BilevelData
    from nni_darts.training.checkpoint import load

_HOMES = {
    "Adversarial": "search.adversarial",
    "BetaDecay": "search.regulariser",
    "BilevelData": "tasks.images.data",
    "Dirichlet": "supernet.dirichlet",
    "Eigenvalue": "search.eigenvalue",
    "Exact": "search.hypergradient",
    "FiniteDifference": "search.hypergradient",
    "FirstOrder": "search.hypergradient",
    "Genotype": "genotypes.genotype",
    "Gumbel": "supernet.gumbel",
    "Hypergradient": "search.hypergradient",
    "KL": "search.regulariser",
    "L2": "search.regulariser",
    "Linear": "_common.schedule",
    "Neumann": "search.neumann",
    "PDarts": "search.pdarts",
    "Perturbation": "search.perturbation",
    "PerturbationBased": "search.perturbation_based",
    "Progressive": "search.progressive",
    "RandomSmoothing": "search.perturbation",
    "Regulariser": "search.regulariser",
    "Relaxation": "supernet.relaxation",
    "Schedule": "_common.schedule",
    "Selection": "search.selection",
    "Sigmoid": "supernet.sigmoid",
    "SkipLimit": "search.skip_limit",
    "Softmax": "supernet.relaxation",
    "Strongest": "search.selection",
    "Subnets": "search.subnets",
    "UnrolledDARTS": "search.strategy",
    "ZeroOne": "search.regulariser",
    "derive": "genotypes.derivation",
    "exact": "search.functions",
    "finite_difference": "search.functions",
    "first_order": "search.functions",
    "load": "training.checkpoint",
    "progressive_search": "search.progression",
    "top_k": "genotypes.derivation",
}
__all__ = [
    "KL",
    "L2",
    "Adversarial",
    "BetaDecay",
    "BilevelData",
    "Dirichlet",
    "Eigenvalue",
    "Exact",
    "FiniteDifference",
    "FirstOrder",
    "Genotype",
    "Gumbel",
    "Hypergradient",
    "Linear",
    "Neumann",
    "PDarts",
    "Perturbation",
    "PerturbationBased",
    "Progressive",
    "RandomSmoothing",
    "Regulariser",
    "Relaxation",
    "Schedule",
    "Selection",
    "Sigmoid",
    "SkipLimit",
    "Softmax",
    "Strongest",
    "Subnets",
    "UnrolledDARTS",
    "ZeroOne",
    "derive",
    "exact",
    "finite_difference",
    "first_order",
    "load",
    "progressive_search",
    "top_k",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
