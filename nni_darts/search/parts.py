"""The parts of a search method by their names in experiment files.

Neither torch nor NNI is imported until one of them is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from nni_darts._common.parts import Parts

if TYPE_CHECKING:
    from nni_darts.search.hypergradient import Hypergradient
    from nni_darts.search.perturbation import Perturbation
    from nni_darts.search.progressive import Progressive
    from nni_darts.search.regulariser import Regulariser
    from nni_darts.search.selection import Selection
    from nni_darts.supernet.relaxation import Relaxation

_HYPERGRADIENT = "nni_darts.search.hypergradient"
_REGULARISER = "nni_darts.search.regulariser"

HYPERGRADIENTS: Parts[Hypergradient] = Parts(
    "hypergradient",
    f"{_HYPERGRADIENT}.Hypergradient",
    {
        "finite_difference": f"{_HYPERGRADIENT}.FiniteDifference",
        "exact": f"{_HYPERGRADIENT}.Exact",
        "first_order": f"{_HYPERGRADIENT}.FirstOrder",
        "neumann": "nni_darts.search.neumann.Neumann",
    },
)

RELAXATIONS: Parts[Relaxation] = Parts(
    "relaxation",
    "nni_darts.supernet.relaxation.Relaxation",
    {
        "softmax": "nni_darts.supernet.relaxation.Softmax",
        "sigmoid": "nni_darts.supernet.sigmoid.Sigmoid",
        "gumbel": "nni_darts.supernet.gumbel.Gumbel",
        "dirichlet": "nni_darts.supernet.dirichlet.Dirichlet",
    },
)

SELECTIONS: Parts[Selection] = Parts(
    "selection",
    "nni_darts.search.selection.Selection",
    {
        "strongest": "nni_darts.search.selection.Strongest",
        "perturbation": "nni_darts.search.perturbation_based.PerturbationBased",
        "skip_limit": "nni_darts.search.skip_limit.SkipLimit",
        "subnets": "nni_darts.search.subnets.Subnets",
    },
)

REGULARISERS: Parts[Regulariser] = Parts(
    "regulariser",
    f"{_REGULARISER}.Regulariser",
    {
        "beta_decay": f"{_REGULARISER}.BetaDecay",
        "kl": f"{_REGULARISER}.KL",
        "l2": f"{_REGULARISER}.L2",
        "zero_one": f"{_REGULARISER}.ZeroOne",
    },
)

PERTURBATIONS: Parts[Perturbation] = Parts(
    "perturbation",
    "nni_darts.search.perturbation.Perturbation",
    {
        "random_smoothing": "nni_darts.search.perturbation.RandomSmoothing",
        "adversarial": "nni_darts.search.adversarial.Adversarial",
    },
)

PROGRESSIVES: Parts[Progressive] = Parts(
    "progressive",
    "nni_darts.search.progressive.Progressive",
    {"pdarts": "nni_darts.search.pdarts.PDarts"},
)
"""Searches in stages, which are no arguments of a strategy."""

PARTS: Mapping[str, Parts[Any]] = {
    "hypergradient": cast("Parts[Any]", HYPERGRADIENTS),
    "relaxation": cast("Parts[Any]", RELAXATIONS),
    "regularisers": cast("Parts[Any]", REGULARISERS),
    "perturbation": cast("Parts[Any]", PERTURBATIONS),
    "selection": cast("Parts[Any]", SELECTIONS),
}
"""Kinds of parts by the argument that a part, or a list of them, is given as."""
