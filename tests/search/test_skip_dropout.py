"""Dropout after the skip connections of a supernet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import spaces
import torch
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Moment, Schedule
from nni_darts.search.skip_dropout import SkipDropout
from search_spaces import DartsCNN
from search_spaces.operations import FactorizedReduce


def space() -> DartsCNN:
    torch.manual_seed(0)
    return DartsCNN(
        4, 3, spaces.CLASSES, num_nodes=2, primitives=["none", "skip_connect", "avg_pool_3x3"]
    )


def skips(supernet: nn.Module) -> list[nn.Module]:
    return [m["skip_connect"] for m in supernet.modules() if hasattr(m, "_arch_alpha")]


def supernet(rate: Any, **options: Any) -> Any:
    return UnrolledDARTS(skip_dropout=rate, **options).mutate_model(space())


def test_without_a_rate_nothing_is_changed() -> None:
    assert {type(skip) for skip in skips(supernet(0))} == {nn.Identity, FactorizedReduce}


def test_it_stands_after_skip_connections_of_stride_1_alone() -> None:
    changed, plain = supernet(0.5), supernet(0)
    for skip, before in zip(skips(changed), skips(plain), strict=True):
        assert isinstance(skip, nn.Dropout) is (type(before) is nn.Identity)
    assert list(changed.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("fused", [True, False])
def test_values_are_dropped_one_by_one_and_the_others_grow(fused: bool) -> None:
    changed = supernet(0.25, fused=fused)
    dropout = next(skip for skip in skips(changed) if isinstance(skip, nn.Dropout))
    x = torch.ones(64, 4, 8, 8)
    before = torch.get_rng_state()
    assert torch.equal(dropout(x), x)
    assert torch.equal(torch.get_rng_state(), before)
    SkipDropout(0.25).set_in(changed, Moment(0, 1))
    dropped = dropout(x)
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 4 / 3]))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(changed.eval()(x[:, :3]), changed(x[:, :3]))
    changed.train()
    assert not torch.equal(changed(x[:, :3]), changed(x[:, :3]))


@dataclass(frozen=True)
class ByEpoch(Schedule):
    """0.5 in the first epoch, then nothing."""

    def __call__(self, moment: Moment) -> float:
        return 0.0 if moment.epoch else 0.5

    def bounds(self) -> tuple[float, float]:
        return 0.5, 0.0


def test_the_rate_is_that_of_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[tuple[float, Any]] = []
    original = DartsCNN.forward

    def forward(self: Any, x: Tensor) -> Tensor:
        rate = next(s.p for s in skips(self) if isinstance(s, nn.Dropout))
        rates.append((rate, strategy.oneshot_module.parts_now))
        return original(self, x)

    monkeypatch.setattr(DartsCNN, "forward", forward)
    strategy = UnrolledDARTS(skip_dropout=ByEpoch())
    spaces.search(space(), strategy, max_epochs=2)
    assert list(dict.fromkeys(rate for rate, _ in rates)) == [0.5, 0.0]
    # A captured step is captured anew where the rate is another one.
    assert len(set(rates)) == 2


@pytest.mark.parametrize("rate", [1.0, -0.1, "a", [0.5, 1.0]])
def test_a_rate_out_of_range_is_refused(rate: Any) -> None:
    with pytest.raises(ValueError, match="skip_dropout must be"):
        UnrolledDARTS(skip_dropout=rate)
