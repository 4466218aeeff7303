from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nni.nas.space import model_context
from spaces import count
from torch import nn

from nni_darts import UnrolledDARTS
from nni_darts.genotypes import published as papers
from nni_darts.genotypes.genotype import PRIMITIVES, Genotype
from search_spaces import DartsCNN, DartsNetwork
from search_spaces.cell_space import CellSpace

DARTS_V2 = papers.get("DARTS_V2")


def test_freezing_gives_the_discrete_network() -> None:
    space = DartsCNN(36, 20)
    frozen = space.freeze(DARTS_V2.to_sample())
    assert isinstance(frozen, DartsNetwork)
    assert count(frozen) == 3_349_342
    assert frozen.genotype == DARTS_V2
    supernet = UnrolledDARTS().mutate_model(space)
    assert count(supernet.freeze(DARTS_V2.to_sample())) == 3_349_342
    with model_context(DARTS_V2.to_sample()):
        assert count(DartsCNN(36, num_cells=20)) == 3_349_342


class Network(nn.Module):
    def __init__(self, genotype: Genotype, width: int) -> None:
        super().__init__()
        self.given = (genotype, width)


class Space(CellSpace):
    network = Network

    def _init_wrapped(self, width: int, depth: int = 3, primitives: Any = PRIMITIVES) -> None:
        raise AssertionError("the space itself is not made")


def test_only_what_the_network_takes_is_handed_on() -> None:
    made = Space.create_fixed_module(DARTS_V2.to_sample(), 7, depth=5)
    assert isinstance(made, Network)
    assert made.given == (DARTS_V2, 7)


def test_operations_are_those_of_the_spaces_primitives(message: Callable[..., str]) -> None:
    sample = {k: "mine" if v == "dil_conv_3x3" else v for k, v in DARTS_V2.to_sample().items()}
    made: Any = Space.create_fixed_module(sample, 7, primitives=[*PRIMITIVES, "mine"])
    assert made.given[0].normal.nodes[3][1].operation == "mine"
    assert "mine" in message(ValueError, Space.create_fixed_module, sample, 7)
