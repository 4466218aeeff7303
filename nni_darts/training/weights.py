"""The weights of a checkpoint, into a network that was made for them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from nni_darts.training.checkpoint import PREFIX, CheckpointError, content


def fill(network: nn.Module, path: Path) -> nn.Module:
    """The network with the weights of a training's checkpoint, in evaluation mode.

    Args:
        network: as the one that was trained; its weights are overwritten.
        path: of the checkpoint.

    Raises:
        CheckpointError: it cannot be read, or its weights are of another network.
    """
    values = content(path)
    state = values.get("state_dict") if isinstance(values, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: is no checkpoint of a training; train again")
    ours = {
        name.removeprefix(PREFIX): weight
        for name, weight in state.items()
        if str(name).startswith(PREFIX)
    }
    try:
        network.load_state_dict(ours)
    except (RuntimeError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())
        raise CheckpointError(f"{path}: has the weights of another network ({what})") from None
    return network.eval()
