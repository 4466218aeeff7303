"""P-DARTS's rules: stages, what edges keep, the rate of the dropout, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pdarts import CASES, EDGES, KINDS, Case, reference

from nni_darts._common.schedule import Moment
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.search.pdarts import PDarts, SkipDecay
from nni_darts.search.progressive import SearchStage, edges_in


def test_the_references_schedule() -> None:
    """Its command line's: 0.1, 0.4 and 0.7."""
    (schedule,) = [value for name, value in reference().items() if name.startswith("schedule")]
    method = PDarts(skip_dropout=[0.1, 0.4, 0.7])
    kept = dict.fromkeys(["normal_2_0"], ("skip_connect",))
    for number, network in enumerate(schedule["networks"]):
        stage = method.stage(number, kept if number else None)
        assert stage.space["num_cells"] == network["layers"]
        assert method.keep[number] == network["ops_per_edge"]
        rate = stage.strategy["skip_dropout"]
        assert isinstance(rate, SkipDecay)
        assert rate.bounds()[0] == network["skip_dropout"]
        rates = [rate(Moment(epoch, stage.epochs)) for epoch in range(stage.epochs)]
        # numpy's exp and Python's differ in the last bit.
        expected = schedule["skip_dropout_per_epoch"][number]
        assert rates == pytest.approx(expected, rel=4e-16, abs=0)
        learns = [epoch >= stage.strategy["warmup_epochs"] for epoch in range(stage.epochs)]
        assert learns == schedule["trains_alphas"][number]


def test_the_rate_jumps_when_alpha_begins_to_learn() -> None:
    rate = SkipDecay(0.5, 2)
    rates = [rate(Moment(epoch, 5)) for epoch in range(5)]
    assert rates == [0.4, 0.3, 0.5, 0.5 * math.exp(-0.2), 0.5 * math.exp(-0.4)]


@pytest.mark.parametrize("case", CASES)
def test_what_the_references_edges_keep(case: Case) -> None:
    for stage in (0, 1):
        weights = {
            f"{kind}_{node}_{source}": row
            for kind in KINDS
            for (node, source), row in case.weights(stage, kind).items()
        }
        kept = PDarts().kept(stage, weights)
        for kind in KINDS:
            found = [list(kept[f"{kind}_{node}_{source}"]) for node, source in EDGES]
            assert found == case.kept(stage, kind)


def test_the_stages_follow_each_other() -> None:
    method = PDarts(cells=[3, 4], keep=[8, 3], epochs=6, warmup=2, skip_dropout=[0, 0.5])
    assert (method.num_stages, method.total_epochs) == (2, 12)
    first, second = method.stage(0, None), method.stage(1, {"normal_2_0": ("a", "b")})
    selection = {"name": "skip_limit", "max_skips": 2}
    assert first == SearchStage(
        number=0,
        first_epoch=0,
        epochs=6,
        space={"num_cells": 3},
        strategy={"warmup_epochs": 2, "skip_dropout": 0.0, "selection": selection},
    )
    assert second == SearchStage(
        number=1,
        first_epoch=6,
        epochs=6,
        space={"num_cells": 4, "primitives": {"normal_2_0": ("a", "b")}},
        strategy={"warmup_epochs": 2, "skip_dropout": SkipDecay(0.5, 2), "selection": selection},
    )
    assert PDarts(max_skips=None).stage(0, None).strategy["selection"] == "strongest"


def test_edges_are_told_from_other_labels() -> None:
    labels = {"normal_2_0": 1, "normal_2": 2, "depth": 3, "reduce_3_2": 4}
    assert edges_in(labels) == {"normal_2_0": 1, "reduce_3_2": 4}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"keep": [8, 5]}, "keep must have an entry for each stage, 3 as cells has, got 2"),
        ({"skip_dropout": [0.1]}, "skip_dropout must have an entry for each stage, 3 as cells"),
        ({"keep": [8, 8, 3]}, "keep must fall from stage to stage, got [8, 8, 3]"),
        ({"keep": [8, 3, 5]}, "keep must fall from stage to stage, got [8, 3, 5]"),
        ({"keep": [8, 5, 0]}, "keep must be at least 1, got 0"),
        ({"keep": 8}, "keep must be a list, one entry for each stage, got 8"),
        ({"cells": []}, "cells must be a list, one entry for each stage, got []"),
        ({"cells": [2, 5, 8]}, "cells must be at least 3, got 2"),
        ({"warmup": 25}, "warmup must be below epochs, 25, so that alpha is learnt at all, got 25"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"skip_dropout": [0, 0.4, 1]}, "skip_dropout must be in [0, 1), got 1"),
        ({"max_skips": -1}, "max_skips must be at least 0, got -1"),
    ],
)
def test_mistakes(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        PDarts(**options)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "names", "expected"),
    [
        ({}, PRIMITIVES[1:], "keep must begin with the number of operations that the space has on"),
        ({"keep": [8, 5, 2]}, PRIMITIVES, "keep must end with 3 or more, so that every edge keeps"),
        ({"keep": [8, 5, 1], "max_skips": None}, PRIMITIVES, "keep must end with 2 or more"),
        ({"keep": [7, 5, 1]}, PRIMITIVES[1:], "keep must end with 2 or more, so that every edge"),
    ],
)
def test_edges_that_would_lose_too_much_are_refused(
    options: dict[str, Any], names: Any, expected: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        PDarts(**options).require({"normal_2_0": names})
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_edges_that_keep_enough_are_taken() -> None:
    PDarts().require({"normal_2_0": PRIMITIVES})
    PDarts(keep=[8, 5, 2], max_skips=None).require({"normal_2_0": PRIMITIVES})
    PDarts(keep=[7, 5, 1], max_skips=None).require({"normal_2_0": PRIMITIVES[1:]})
