"""Parts by object, name, options and path, with the hypergradients for an example."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from nni_darts import UnrolledDARTS
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.hypergradient import (
    Exact,
    FiniteDifference,
    FirstOrder,
    Hypergradient,
    Unrolled,
)
from nni_darts.search.neumann import Neumann
from nni_darts.search.parts import HYPERGRADIENTS


@dataclass(frozen=True)
class Mine(Hypergradient):
    """A class of a user's."""

    scale: float = 1.0

    def __call__(self, step: BilevelStep) -> tuple[Tensor, ...]:
        return tuple(self.scale * g for g in FirstOrder()(step))


class Unhappy(Mine):
    def __init__(self) -> None:
        raise KeyError("no luck")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("finite_difference", FiniteDifference()),
        ("exact", Exact()),
        ("first_order", FirstOrder()),
        ("neumann", Neumann()),
        ({"name": "exact"}, Exact()),
        ({"name": "neumann", "terms": 5, "clip": 0.5}, Neumann(5, 0.5)),
        (Neumann(7), Neumann(7)),
        (f"{__name__}.Mine", Mine()),
        ({"name": f"{__name__}.Mine", "scale": 0.5}, Mine(0.5)),
    ],
)
def test_a_part_is_given_in_any_way(given: Any, expected: Hypergradient) -> None:
    assert HYPERGRADIENTS.make(given) == expected
    assert UnrolledDARTS(hypergradient=given).architect == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("exakt", "unknown hypergradient 'exakt'; did you mean 'exact'? (known: finite_"),
        (None, "hypergradient must be given by its name, got None"),
        (["exact"], "must be given by its name, got ['exact']"),
        (Neumann, "must be given by its name, got <class"),
        ({}, "hypergradient lacks a name, as in {name: finite_difference}"),
        ({"name": 5}, "must be given by its name, got 5"),
        ({"name": "exakt"}, "did you mean 'exact'"),
        (
            {"name": "neumann", "term": 5},
            "unknown option of hypergradient neumann, 'term'; did you mean 'terms'",
        ),
        ({"name": "first_order", "clip": 1.0}, "hypergradient first_order, 'clip' (known: none)"),
        ({"name": "neumann", "terms": -1}, "hypergradient neumann: terms must be at least 0"),
        ({"name": "exact", "clip": 0}, "hypergradient exact: clip must be positive"),
        ("nowhere.Mine", "hypergradient: cannot import 'nowhere'"),
        (f"{__name__}.Mein", "hypergradient: unknown class in .* 'Mein'; did you mean 'Mine'"),
        ("collections.OrderedDict", "OrderedDict must be a subclass of Hypergradient"),
        (f"{__name__}.Unhappy", "Unhappy: KeyError: 'no luck' (.*test_parts.py, line"),
    ],
)
def test_a_part_that_there_is_not(given: Any, expected: str, message: Any) -> None:
    pattern = re.escape(expected).replace(re.escape(".*"), ".*")
    assert re.search(pattern, message(ValueError, HYPERGRADIENTS.make, given))
    assert re.search(pattern, message(ValueError, UnrolledDARTS, hypergradient=given))


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_every_name_is_of_a_hypergradient(name: str) -> None:
    assert issubclass(HYPERGRADIENTS[name], Hypergradient)


def test_the_clip_of_the_strategy_is_that_of_a_hypergradient_by_name() -> None:
    assert UnrolledDARTS(virtual_clip=0.25).architect == FiniteDifference(0.25)
    terms = {"name": "neumann", "terms": 5}
    assert UnrolledDARTS(hypergradient=terms, virtual_clip=0.25).architect == Neumann(5, 0.25)
    with pytest.raises(ValueError, match="give Exact its clip itself"):
        UnrolledDARTS(hypergradient=Exact(), virtual_clip=0.25)
    with pytest.raises(ValueError, match="exact has clip=1; leave out virtual_clip"):
        UnrolledDARTS(hypergradient={"name": "exact", "clip": 1}, virtual_clip=0.25)
    with pytest.raises(ValueError, match="Mine takes no virtual step that virtual_clip"):
        UnrolledDARTS(hypergradient=f"{__name__}.Mine", virtual_clip=0.25)


def test_a_class_of_the_users_that_breaks_when_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: Any
) -> None:
    (tmp_path / "broken_part.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = message(ValueError, HYPERGRADIENTS.make, "broken_part.Mine")
    assert "cannot import 'broken_part': ZeroDivisionError" in text
    assert "line 1)" in text
    assert "broken_part" not in sys.modules


def test_unrolled_is_what_can_be_clipped() -> None:
    unrolled = {name for name, kind in HYPERGRADIENTS.items() if issubclass(kind, Unrolled)}
    assert unrolled == set(HYPERGRADIENTS) - {"first_order"}
