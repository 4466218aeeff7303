from __future__ import annotations

from nni_darts.monitor.collapse import Figures, Rules, judge


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
