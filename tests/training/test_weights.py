from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import Linear

from nni_darts.training.checkpoint import CheckpointError
from nni_darts.training.weights import fill


def test_weights_come_back(tmp_path: Path) -> None:
    network, path = Linear(2, 2), tmp_path / "a.ckpt"
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": {**weights, "averages": torch.ones(1)}}, path)
    filled = fill(Linear(2, 2), path)
    assert filled.weight.equal(network.weight)
    assert not filled.training


def test_weights_of_another_network_are_refused(
    tmp_path: Path, message: Callable[..., str]
) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"network.weight": torch.ones(2, 2)}}, path)
    expected = f"{path}: has the weights of another network ("
    assert message(CheckpointError, fill, Linear(3, 2), path).startswith(expected)
    torch.save([1], path)
    expected = f"{path}: is no checkpoint of a training; train again"
    assert message(CheckpointError, fill, Linear(3, 2), path) == expected
