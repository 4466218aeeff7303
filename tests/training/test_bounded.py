from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import nn

from nni_darts._common import limits
from nni_darts.genotypes.published import get
from nni_darts.training.bounded import TooLargeError, built, watched
from nni_darts.training.network_size import parameters
from search_spaces.darts_network import DartsNetwork


def small() -> nn.Module:
    """12 weights in 2 modules; one of them has no weights."""
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU())


@pytest.mark.parametrize("make", [built, watched])
def test_up_to_the_bounds(
    make: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch, message: Callable[..., str]
) -> None:
    monkeypatch.setattr(limits, "PARAMETERS", 12)
    monkeypatch.setattr(limits, "LAYERS", 2)
    assert isinstance(make(small, "its width"), nn.Sequential)
    monkeypatch.setattr(limits, "PARAMETERS", 11)
    expected = "it would have more than 11 weights; lower its width"
    assert message(TooLargeError, make, small, "its width") == expected
    monkeypatch.setattr(limits, "PARAMETERS", 12)
    monkeypatch.setattr(limits, "LAYERS", 1)
    expected = "it would have more than 1 modules; lower its width"
    assert message(TooLargeError, make, small, "its width") == expected
    # What is made elsewhere is not counted.
    assert len(nn.Sequential(*(nn.Linear(3, 3) for _ in range(9)))) == 9


def test_the_first_attempt_leaves_no_trace() -> None:
    devices: list[str] = []

    def make() -> nn.Linear:
        torch.rand(1, device="cpu")  # as a space may draw by itself
        made = nn.Linear(3, 3)
        devices.append(made.weight.device.type)
        return made

    torch.manual_seed(5)
    found = built(make, "x")
    assert devices == ["meta", "cpu"]
    torch.manual_seed(5)
    assert torch.equal(found.weight, make().weight)


def test_what_is_too_large_takes_no_memory(message: Callable[..., str]) -> None:
    started = time.monotonic()
    said = message(TooLargeError, built, lambda: nn.Linear(10**6, 10**6), "features")
    assert said == "it would have more than 2,000,000,000 weights; lower features"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("make", [built, watched])
def test_a_space_cannot_catch_it(
    make: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARAMETERS", 1)

    def stubborn() -> nn.Module:
        with suppress(Exception):
            small()
        return nn.ReLU()

    with pytest.raises(TooLargeError):
        make(stubborn, "x")


def test_an_error_of_the_spaces_own_is_raised_as_it_is() -> None:
    def fail() -> nn.Module:
        raise RuntimeError("mine")

    for make in (built, watched):
        with pytest.raises(RuntimeError, match="mine") as caught:
            make(fail, "x")
        assert not isinstance(caught.value, TooLargeError)


def test_what_works_in_memory_alone_is_made() -> None:
    def read() -> nn.Module:
        made = nn.Linear(2, 2)
        assert float(made.weight.sum().item()) != 0  # no tensor without memory has an item
        return made

    assert built(read, "x").weight.device.type == "cpu"


def test_a_machine_without_the_memory(message: Callable[..., str]) -> None:
    def make() -> nn.Module:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")

    assert message(TooLargeError, watched, make, "channels") == (
        "it would take more memory than there is; lower channels"
    )


def network() -> nn.Module:
    return DartsNetwork(get("DARTS_V2"), channels=4, num_cells=3)


def test_what_our_networks_are_measured_by_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    size = parameters(network())
    monkeypatch.setattr(limits, "PARAMETERS", size)
    assert parameters(built(network, "channels")) == size


class Several(nn.Module):
    """Layers of 110 weights each, made after others that are let go."""

    def __init__(self, dropped: int, layers: int) -> None:
        super().__init__()
        for _ in range(dropped):
            nn.Linear(10, 10)
        self.layers = nn.ModuleList(nn.Linear(10, 10) for _ in range(layers))
        self.tied = nn.ModuleList(self.layers)


@pytest.mark.parametrize("dropped", [0, 7])
def test_only_weights_that_are_kept_count_and_each_once(
    dropped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARAMETERS", 5 * 110)
    assert parameters(watched(lambda: Several(dropped, 5), "layers")) == 550
    with pytest.raises(TooLargeError, match="it would have more than 550 weights; lower layers"):
        watched(lambda: Several(dropped, 6), "layers")
