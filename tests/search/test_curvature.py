"""When a search measures its curvature, and on what."""

from __future__ import annotations

from typing import Any

import pytest
import spaces
import torch

from nni_darts import UnrolledDARTS
from nni_darts.search.eigenvalue import Eigenvalue


def measured(monkeypatch: pytest.MonkeyPatch, eigenvalue: Eigenvalue, **trainer: Any) -> list[int]:
    """Epochs of a search that were measured."""
    epochs = []
    original = Eigenvalue.__call__

    def note(self: Any, step: Any) -> float:
        epochs.append(strategy.oneshot_module.trainer.current_epoch)
        return original(self, step)

    monkeypatch.setattr(Eigenvalue, "__call__", note)
    strategy = UnrolledDARTS(eigenvalue=eigenvalue, hypergradient="first_order", warmup_epochs=1)
    spaces.search(spaces.Plain(), strategy, max_epochs=4, **trainer)
    return epochs


def test_epochs_in_which_alpha_learns_are_measured_as_often_as_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert measured(monkeypatch, Eigenvalue()) == [1, 2, 3]
    assert measured(monkeypatch, Eigenvalue(every=2)) == [1, 3]


def test_nothing_else_changes() -> None:
    found = []
    for eigenvalue in (None, Eigenvalue(batches=2)):
        torch.manual_seed(0)
        strategy = UnrolledDARTS(eigenvalue=eigenvalue)
        spaces.search(spaces.Plain(), strategy, max_epochs=2)
        found.append(strategy.supernet.state_dict())
        assert ("eigenvalue" in strategy.oneshot_module.trainer.callback_metrics) is (
            eigenvalue is not None
        )
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
