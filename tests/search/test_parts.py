from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nni_darts.search.hypergradient import Exact, FiniteDifference, FirstOrder, Hypergradient
from nni_darts.search.neumann import Neumann
from nni_darts.search.parts import HYPERGRADIENTS, PARTS, RELAXATIONS, SELECTIONS
from nni_darts.search.selection import Selection, Strongest
from nni_darts.supernet.relaxation import Relaxation, Softmax


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


@pytest.mark.parametrize(
    ("what", "base"),
    [("hypergradient", Hypergradient), ("relaxation", Relaxation), ("selection", Selection)],
)
def test_every_part_is_of_its_kind(what: str, base: type[Any]) -> None:
    kind = PARTS[what]
    for name, made in kind.items():
        assert issubclass(made, base)
        assert isinstance(kind.make(name), made)


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
