from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn

from nni_darts._common import limits
from search_spaces.operations import FactorizedReduce, search_norm
from search_spaces.places import (
    Edges,
    Place,
    chain,
    require_affordable,
    stem_channels,
    weights_of,
    weights_of_cells,
)

STATES = {"normal": 4, "reduce": 3}


def test_the_chain_of_six_cells() -> None:
    links = list(chain(8, 6, "cifar", STATES))
    assert [link.place.kind for link in links] == [
        *("normal", "normal", "reduce", "normal", "reduce", "normal")
    ]
    assert [link.place.channels for link in links] == [8, 8, 16, 16, 32, 32]
    assert [link.output for link in links] == [32, 32, 48, 64, 96, 128]
    assert [link.inputs for link in links] == [
        (24, 24),
        (24, 32),
        (32, 32),
        (32, 48),
        (48, 64),
        (64, 96),
    ]
    assert [link.reduced for link in links] == [False, False, False, True, False, True]


def test_the_stem_of_imagenet_reduces() -> None:
    first, second, *_ = chain(8, 6, "imagenet", STATES)
    assert (first.reduced, second.reduced) == (True, False)
    assert first.inputs == (8, 8)
    assert (stem_channels(8, "imagenet"), stem_channels(8, "cifar")) == (8, 24)


def test_an_older_input_that_is_too_large_is_halved() -> None:
    *_, last = chain(8, 6, "cifar", STATES)
    older, newer = last.preprocessing(search_norm)
    assert isinstance(older, FactorizedReduce)
    assert older(torch.randn(2, 64, 8, 8)).shape == newer(torch.randn(2, 96, 4, 4)).shape


@pytest.mark.parametrize(("kind", "strides"), [("normal", [1, 1, 1]), ("reduce", [2, 2, 1])])
def test_inputs_of_a_reduction_are_halved(kind: str, strides: list[int]) -> None:
    place = Place(0, kind, 8)  # type: ignore[arg-type]
    assert [place.stride(source) for source in range(3)] == strides


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """As many weights as channels; three times as many where it halves."""
    return nn.Linear(channels, 3 if stride == 2 else 1, bias=False)


def test_weights_of_cells_by_hand() -> None:
    edges: Edges = {
        "normal": Counter({("a", True): 2, ("a", False): 1}),
        "reduce": Counter({("a", True): 1, ("b", False): 2}),
    }
    links = list(chain(8, 6, "cifar", STATES))
    inputs = 0
    for link in links:
        older, newer = link.inputs
        inputs += (older + newer) * link.place.channels
    normal = 3 * (8 + 8 + 16 + 32)
    reduce = (3 + 2) * (16 + 32)
    assert weights_of_cells(links, edges, operation, search_norm) == inputs + normal + reduce


def test_counting_draws_nothing() -> None:
    state = torch.get_rng_state()
    assert weights_of(lambda: nn.Linear(10**6, 10**6, bias=False)) == 10**12
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_made_is_said_when_it_is_made() -> None:
    def broken() -> nn.Module:
        raise KeyError

    assert weights_of(broken) == 0


def test_too_many_weights(message: Callable[..., str]) -> None:
    require_affordable(limits.PARAMETERS, "channels 4")
    most = limits.PARAMETERS
    assert message(ValueError, require_affordable, most + 1, "channels 4") == (
        f"channels 4 would make {most + 1:,} parameters, expected at most {most:,}; choose smaller "
        "ones"
    )
