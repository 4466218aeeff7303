"""nni_darts/training/bounded.py: what counts as a weight of the module that is made."""

from __future__ import annotations

import pytest
from torch import nn

from nni_darts._common import limits
from nni_darts.genotypes.published import get
from nni_darts.training.bounded import TooLargeError, built, watched
from nni_darts.training.network_size import parameters
from search_spaces.darts_network import DartsNetwork


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
