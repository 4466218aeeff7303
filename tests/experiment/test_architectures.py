from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import (
    NAME_A,
    SAMPLE,
    A,
    B,
    C,
    R,
    S,
    as_text,
    ended,
    evaluated,
    searched,
    selected,
    store,
)
from nni_darts.experiment.architectures import cells, ranked_architectures, short_name


def test_those_first_that_came_furthest(home: Path) -> None:
    trials = [
        searched(0, (-3.0, A), (-5.0, B)),
        searched(1, (-4.0, C)),
        selected(A, 0.4),
        selected(C, 0.6),
        selected(B, 0.5),
        evaluated(B, 0, 0.7),
    ]
    best = ranked_architectures(store(home, "abc", trials))
    assert [(f.text, f.stage) for f in best] == [(B, "evaluate"), (C, "select"), (A, "select")]
    assert [f.val for f in best] == [0.5, 0.6, 0.4]


def test_of_searches_alone_the_score_decides(home: Path) -> None:
    best = ranked_architectures(
        store(home, "abc", [searched(0, (-3.0, A), (-5.0, B)), searched(1, (-4.0, C))])
    )
    assert [f.text for f in best] == [A, C, B]


def test_test_accuracies_do_not_decide(home: Path) -> None:
    trials = [selected(A, 0.5), selected(B, 0.6), evaluated(A, 0, 0.9), evaluated(B, 0, 0.7)]
    assert [f.text for f in ranked_architectures(store(home, "abc", trials))] == [B, A]


def test_a_lower_perplexity_is_better(home: Path) -> None:
    trials = [selected(R, 90.0), selected(S, 80.0), evaluated(R, 0, 70.0), evaluated(S, 0, 79.5)]
    best = ranked_architectures(store(home, "abc", [as_text(trial) for trial in trials]))
    assert [f.text for f in best] == [S, R]
    assert [f.val for f in best] == [80.0, 90.0]
    assert best[0].tested == "79.50 (1 training)"


def test_what_two_searches_found_is_there_once_with_the_higher_score(home: Path) -> None:
    (f,) = ranked_architectures(
        store(home, "abc", [searched(0, (-3.0, A)), searched(7, (-2.0, A))])
    )
    assert (f.score, f.seed, f.trial, f.stage) == (-2.0, 7, "trial1", "search")
    assert f.supernet == 0.5
    assert f.tested == ""


def test_mean_and_standard_deviation_of_the_evaluations(home: Path) -> None:
    trials = [selected(A, 0.5), evaluated(A, 0, 0.96), evaluated(A, 1, 0.98)]
    (f,) = ranked_architectures(store(home, "abc", trials))
    assert f.test == pytest.approx(0.97)
    assert f.test_std == pytest.approx(0.02 / 2**0.5)
    assert f.tested == "97.00 +- 1.41% (2 trainings)"
    assert f.params == 4474


def test_one_evaluation_has_no_standard_deviation(home: Path) -> None:
    (f,) = ranked_architectures(store(home, "abc", [evaluated(A, 0, 0.96)]))
    assert f.test_std is None
    assert f.tested == "96.00% (1 training)"
    assert f.score is None


def test_a_result_that_was_handed_in_twice_counts_once(home: Path) -> None:
    trials = [evaluated(A, 0, 0.96), evaluated(A, 0, 0.96), evaluated(A, 1, 0.98)]
    (f,) = ranked_architectures(store(home, "abc", trials))
    assert f.tests == [0.96, 0.98]


def test_trials_without_a_result_count_nothing(home: Path) -> None:
    assert (
        ranked_architectures(store(home, "abc", [ended("FAILED", "search-0"), ended("RUNNING")]))
        == []
    )


def test_a_sample_of_another_space(home: Path) -> None:
    (f,) = ranked_architectures(
        store(home, "abc", [searched(0, (-1.0, SAMPLE)), searched(1, (-2.0, SAMPLE))])
    )
    assert (f.text, f.name, f.score) == (SAMPLE, "", -1.0)
    assert cells(SAMPLE) == [SAMPLE]
    with pytest.raises(ValueError, match="unknown field"):
        f.to_text("authors")


def test_cells_in_words() -> None:
    text = json.dumps(
        {
            "normal": [["sep_conv_3x3", 1], ["skip_connect", 0]],
            "normal_concat": [2],
            "reduce": [["max_pool_3x3", 0], ["my_operation", 1]],
            "reduce_concat": [2],
        }
    )
    assert cells(text) == [
        "normal    2: sep_conv_3x3(1) skip_connect(0)",
        "reduce    2: max_pool_3x3(0) my_operation(1)",
    ]
    assert len(short_name(text)) == len(NAME_A) == 8
