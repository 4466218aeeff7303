from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import nni_darts
from nni_darts.search.adversarial import Adversarial
from nni_darts.search.hypergradient import Exact, FiniteDifference, FirstOrder, Hypergradient
from nni_darts.search.neumann import Neumann
from nni_darts.search.parts import (
    HYPERGRADIENTS,
    PARTS,
    PERTURBATIONS,
    PROGRESSIVES,
    RELAXATIONS,
    SELECTIONS,
)
from nni_darts.search.perturbation import Perturbation, RandomSmoothing
from nni_darts.search.regulariser import BetaDecay, Regulariser
from nni_darts.search.selection import Selection, Strongest
from nni_darts.supernet.relaxation import Relaxation, Softmax
from nni_darts.tasks.registry import parse

ROOT = Path(__file__).parents[2]


def test_names_are_of_these_classes() -> None:
    assert [HYPERGRADIENTS[name] for name in ("exact", "first_order", "neumann")] == [
        Exact,
        FirstOrder,
        Neumann,
    ]
    # What stands first is what an error shows as an example.
    assert next(iter(HYPERGRADIENTS.values())) is FiniteDifference
    assert RELAXATIONS["softmax"] is Softmax
    assert SELECTIONS["strongest"] is Strongest
    assert [PERTURBATIONS[name] for name in PERTURBATIONS] == [RandomSmoothing, Adversarial]


@pytest.mark.parametrize(
    ("what", "base"),
    [
        ("hypergradient", Hypergradient),
        ("relaxation", Relaxation),
        ("perturbation", Perturbation),
        ("regularisers", Regulariser),
        ("selection", Selection),
    ],
)
def test_every_part_is_of_its_kind(what: str, base: type[Any]) -> None:
    kind = PARTS[what]
    for name, made in kind.items():
        assert issubclass(made, base)
        assert isinstance(kind.make(name), made)


@pytest.mark.parametrize(
    ("file", "what", "published"),
    [
        ("beta_darts_cifar10.yml", "regularisers", BetaDecay()),
        ("sdarts_rs_cifar10.yml", "perturbation", RandomSmoothing()),
    ],
)
def test_the_shipped_experiments_have_the_published_options(
    file: str, what: str, published: Any
) -> None:
    values = yaml.safe_load((ROOT / "experiments" / file).read_text(encoding="utf-8"))
    settings = parse(values["tuner"]["classArgs"]).search
    assert settings is not None
    (given,) = settings.parts[what] if what == "regularisers" else [settings.parts[what]]
    assert PARTS[what].make(given) == published
    assert settings.parts["hypergradient"] == "first_order"
    assert (settings.epochs, settings.batch_size, settings.arc_weight_decay) == (50, 64, 1e-3)


@pytest.mark.parametrize(
    ("what", "given", "expected"),
    [
        ("relaxation", "softmx", "unknown relaxation 'softmx'; did you mean 'softmax'?"),
        ("selection", "exact", "unknown selection 'exact'"),
        ("hypergradient", {"terms": 3}, "hypergradient lacks a name, as in {name: finite_differe"),
    ],
)
def test_a_name_of_another_kind(
    what: str, given: Any, expected: str, message: Callable[..., str]
) -> None:
    assert message(ValueError, PARTS[what].make, given).startswith(expected)


@pytest.mark.parametrize("part", [*PARTS, "progressive"])
def test_every_part_with_a_name_is_public(part: str) -> None:
    known = PROGRESSIVES if part == "progressive" else PARTS[part]
    for name in known:
        made = known[name]
        assert made.__name__ in nni_darts.__all__
        assert getattr(nni_darts, made.__name__) is made
