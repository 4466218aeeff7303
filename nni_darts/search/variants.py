"""The methods that a search can be: what each changes, where it is from, and its experiments.

The parts of each are in `nni_darts.search.parts`; a variant is a choice among them. Neither torch
nor NNI is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["VARIANTS", "Variant"]


@dataclass(frozen=True)
class Variant:
    """A published method."""

    name: str
    changes: str
    """Difference from DARTS of first order, in a few words."""
    reference: str
    """Number of the paper on arXiv."""
    parts: Mapping[str, Any]
    """Dotted key of an experiment's `classArgs` -> the name of the part, or another value; True for
    a key that has to be there, whatever it holds."""
    cost: float | None = None
    """Time of a step relative to that of first order; None where it is not measured."""
    experiments: tuple[str, ...] = ()
    """Files in experiments/ with the published settings."""


VARIANTS: tuple[Variant, ...] = (
    Variant(
        "DARTS",
        "unrolled architect, H by a difference",
        "1806.09055",
        {"search.hypergradient": "finite_difference"},
        2.3,
        ("darts_cifar10.yml", "darts_rnn_ptb.yml"),
    ),
    Variant(
        "DARTS, exact",
        "unrolled architect, double backward",
        "1806.09055",
        {"search.hypergradient": "exact"},
        3.8,
    ),
    Variant(
        "PC-DARTS",
        "a share of the channels; edge weights",
        "1907.05737",
        {"space.partial_channels": True, "space.edge_weights": True},
        experiments=("pc_darts_cifar10.yml", "pc_darts_imagenet.yml"),
    ),
    Variant(
        "GDAS",
        "one operation of an edge is drawn",
        "1910.04465",
        {"search.relaxation": "gumbel"},
        experiments=("gdas_cifar10.yml",),
    ),
    Variant(
        "P-DARTS",
        "deeper in stages, with fewer operations",
        "1904.12760",
        {"search.progressive": "pdarts"},
        experiments=("pdarts_cifar10.yml",),
    ),
    Variant(
        "DrNAS",
        "weights drawn from a Dirichlet",
        "2006.10355",
        {"search.relaxation": "dirichlet"},
        experiments=("drnas_cifar10.yml",),
    ),
    Variant(
        "FairDARTS",
        "sigmoid weights; zero-one loss",
        "1911.12126",
        {"search.relaxation": "sigmoid", "search.regularisers": "zero_one"},
    ),
    Variant(
        "beta-DARTS",
        "a term that levels the alphas",
        "2203.01665",
        {"search.regularisers": "beta_decay"},
        experiments=("beta_darts_cifar10.yml",),
    ),
    Variant(
        "SDARTS-RS",
        "w trained at weights with noise",
        "2002.05283",
        {"search.perturbation": "random_smoothing"},
        experiments=("sdarts_rs_cifar10.yml",),
    ),
    Variant(
        "SDARTS-ADV",
        "w trained at the worst weights nearby",
        "2002.05283",
        {"search.perturbation": "adversarial"},
    ),
    Variant(
        "DARTS-PT",
        "selects by what the supernet misses",
        "2108.04392",
        {"search.selection": "perturbation"},
        experiments=("darts_pt_cifar10.yml",),
    ),
    Variant(
        "Robust-DARTS",
        "ends early, by the curvature of L_val",
        "1909.09656",
        {"search.eigenvalue.stop": True},
        experiments=("robust_darts_cifar10.yml",),
    ),
)
"""Variants as the table lists them."""
