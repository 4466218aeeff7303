from __future__ import annotations

import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.monitor.collapse import Figures, Rules, judge, parse_rules
from nni_darts.search.early_stop import EarlyStop


def figures(*skip_counts: int | None, entropy: float | None = 1.0) -> list[Figures]:
    return [Figures(i, count, entropy) for i, count in enumerate(skip_counts)]


def test_verdicts() -> None:
    rules = Rules()
    assert judge([], rules) is None
    assert judge(figures(3, 3, 2, 3, 3), rules) is None
    assert judge(figures(3, None, 3, 3), rules) is None
    verdict = judge(figures(0, 3, 3, 4), rules)
    assert verdict is not None
    assert (verdict.first, verdict.holds) == (3, True)
    assert verdict.text == (
        "collapsed after epoch 4: 4 skip connections in the derived normal cell, more than 2 for "
        "3 epochs in a row"
    )
    over = judge(figures(3, 3, 3, 0), rules)
    assert over is not None
    assert not over.holds
    assert over.text.endswith("; no longer so after epoch 4")
    assert judge(figures(0, entropy=0.1), rules) is None
    low = judge(figures(0, entropy=0.1), Rules(min_entropy=0.2))
    assert low is not None
    assert low.text == "collapsed after epoch 1: mean entropy 0.1, below 0.2"
    one = judge(figures(1), Rules(max_skips=0, epochs=1))
    assert one is not None
    assert one.text.endswith("more than 0")


def test_growth_of_the_eigenvalue() -> None:
    rules = Rules(eigenvalue=EarlyStop(window=2, lag=2, after=0))
    values = [0.1, 0.1, None, 0.1, 0.3, 0.3, 0.3, 0.3]
    epochs = [Figures(i, 0, 1.0, value) for i, value in enumerate(values)]
    assert judge(epochs[:4], rules) is None
    assert judge(epochs, Rules()) is None
    verdict = judge(epochs[:6], rules)
    assert verdict is not None
    assert (verdict.first, verdict.holds) == (4, True)
    assert verdict.text == (
        "collapsed after epoch 5: the mean largest eigenvalue of the Hessian of L_val is 0.2, from "
        "0.1 around epoch 1"
    )
    over = judge(epochs, rules)
    assert over is not None
    assert not over.holds


def test_a_rule_of_the_assessor_cannot_hand_on_a_genotype() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_rules({"on_collapse": "stop", "eigenvalue": {"window": 5}})
    (problem,) = caught.value.problems
    assert problem.startswith("eigenvalue is for on_collapse: warn: ")
    assert "search.eigenvalue.stop" in problem
    assert parse_rules({"eigenvalue": {"ratio": 0.5}}).eigenvalue == EarlyStop(ratio=0.5)
