"""A progressive search in Python: every stage a search of its own, of what the last one left."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import spaces
import torch
from nni.nas.evaluator.pytorch import Lightning

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.pruning import likeliest
from nni_darts.search.pdarts import PDarts
from nni_darts.search.progression import progressive_search
from nni_darts.search.progressive import SearchStage
from nni_darts.supernet.architectures import probabilities
from search_spaces import DartsCNN, DartsRNN

TINY = PDarts(cells=[3, 4], keep=[8, 3], epochs=2, warmup=1, skip_dropout=[0, 0.5], max_skips=0)


def evaluator(stage: SearchStage) -> Lightning:
    return spaces.evaluator(max_epochs=stage.epochs)


def test_each_stage_searches_what_the_last_one_left() -> None:
    torch.manual_seed(0)
    made: list[UnrolledDARTS] = []

    def strategy(**arguments: Any) -> UnrolledDARTS:
        made.append(UnrolledDARTS(arc_learning_rate=0.1, **arguments))
        return made[-1]

    space = partial(DartsCNN, 4, num_nodes=2, num_classes=spaces.CLASSES)
    last = progressive_search(TINY, space, evaluator, strategy)
    first, second = made
    assert last is second
    assert [len(each.supernet.cells) for each in made] == [3, 4]
    assert [each.warmup_epochs for each in made] == [1, 1]
    before = {
        label: {name: p.item() for name, p in row.items()}
        for label, row in probabilities(first.supernet).items()
    }
    after = probabilities(second.supernet)
    assert {label: tuple(row) for label, row in after.items()} == likeliest(before, 3)
    for _, sample in last.top_k(3):
        genotype = Genotype.from_sample(sample)
        assert all(e.operation != "skip_connect" for es in genotype["normal"].nodes for e in es)


@pytest.mark.parametrize(
    ("method", "space", "expected"),
    [
        (PDarts(keep=[9, 5, 3]), DartsCNN, "keep must begin with the number of operations"),
        (TINY, lambda **_: spaces.Plain(), "Plain has no edges of cells, with labels like"),
        (TINY, DartsRNN, "num_cells"),
    ],
)
def test_what_cannot_be_searched_so_is_refused_before_training(
    method: PDarts, space: Any, expected: str
) -> None:
    def never(stage: SearchStage) -> Lightning:
        raise AssertionError

    with pytest.raises((ValueError, TypeError), match=expected):
        progressive_search(method, space, never)
