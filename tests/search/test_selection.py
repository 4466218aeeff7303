from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import spaces
import torch
from torch import nn

from nni_darts import UnrolledDARTS
from nni_darts.search.selection import Selection, Strongest
from nni_darts.supernet.architectures import top_k
from nni_darts.supernet.mixed import Ranked


@dataclass(frozen=True)
class Weakest(Selection):
    """The least probable of the best ones first."""

    among: int = 100

    def __call__(self, supernet: nn.Module, limit: int) -> Ranked:
        return top_k(supernet, self.among)[::-1][:limit]


def searched(**parts: Any) -> UnrolledDARTS:
    torch.manual_seed(0)
    return spaces.search(spaces.Plain(), UnrolledDARTS(arc_learning_rate=0.1, **parts))


def test_what_is_chosen_is_the_selections() -> None:
    strongest, weakest = searched(), searched(selection=Weakest())
    every = strongest.top_k(100)
    assert len(every) > 2
    assert every == searched(selection=Strongest()).top_k(100)
    assert weakest.top_k(2) == every[::-1][:2]
    assert next(weakest.list_models()).sample == every[-1][1]


@pytest.mark.parametrize("given", [{"name": f"{__name__}.Weakest", "among": 2}, Weakest(2)])
def test_a_selection_is_given_as_other_parts_are(given: Any) -> None:
    strategy = searched(selection=given)
    assert strategy.top_k(1) == [searched().top_k(2)[1]]
    assert strategy.rule == Weakest(2)
