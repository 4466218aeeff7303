from __future__ import annotations

import math
from typing import Any

import pytest

from nni_darts.genotypes.edge_weights import given, of_betas


def test_betas_are_a_softmax_within_each_node() -> None:
    found = of_betas([0.0, 1.0, 3.0, 3.0, 3.0], [2, 3])
    e = math.e
    assert found == pytest.approx([1 / (1 + e), e / (1 + e), 1 / 3, 1 / 3, 1 / 3])
    # A constant for all edges into a node changes nothing, however large.
    assert of_betas([1000.0, 1001.0], [2]) == pytest.approx(found[:2])


def test_weights_that_are_given_are_taken_as_they_are() -> None:
    assert given([0.25, 1, 0], 3) == [0.25, 1.0, 0.0]


@pytest.mark.parametrize("bad", [[0.5], [0.5, 1.5], [0.5, float("nan")], [[0.5, 0.5]], ["a", "b"]])
def test_what_are_no_weights(bad: Any, message: Any) -> None:
    assert message(ValueError, given, bad, 2).startswith("edge_weights must be ")


@pytest.mark.parametrize("bad", [[0.5], [0.5, float("inf")], [[0.5, 0.5]], ["a", "b"]])
def test_what_are_no_betas(bad: Any, message: Any) -> None:
    assert message(ValueError, of_betas, bad, [2]).startswith("betas must be ")
