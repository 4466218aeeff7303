from __future__ import annotations

import copy
from typing import Any

import torch
from fused_cells import (
    OneCell,
    assert_equal,
    fused_cells,
    numbers,
)

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import PRIMITIVES
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.mixed import MixedNode
from search_spaces import DartsCNN


def test_cells_that_cannot_be_fused_stay_as_they_are() -> None:
    class Own(MixedNode):
        pass

    for change in ("node", "edge", "nothing known"):
        names = ["own"] if change == "nothing known" else list(PRIMITIVES)
        plain = UnrolledDARTS(fused=False).mutate_model(OneCell(names)).double()
        nodes: Any = plain.nodes
        if change == "node":
            nodes[0].__class__ = Own
        elif change == "edge":
            edge = nodes[0].edges[0]
            edge.__class__ = type("Own", (type(edge),), {})
        fused = fuse(copy.deepcopy(plain))
        assert fused_cells(fused) == 0
        assert_equal(numbers(fused), numbers(plain))


def test_the_default_is_fused_and_the_parameters_are_the_same() -> None:
    torch.manual_seed(0)
    fused = UnrolledDARTS().mutate_model(DartsCNN(4, 3))
    torch.manual_seed(0)
    plain = UnrolledDARTS(fused=False).mutate_model(DartsCNN(4, 3))
    assert fused_cells(fused) == 3
    assert fused_cells(plain) == 0
    one, other = fused.state_dict(), plain.state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)
    plain.load_state_dict(one)
    fused.load_state_dict(other)
