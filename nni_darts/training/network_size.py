"""Size of a network: its parameters, and the multiplications for one image or word."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nni_darts._common import limits
from nni_darts._common.checks import instance, size
from nni_darts._common.messages import shown

__all__ = ["multiply_adds", "multiply_adds_per_word", "parameters", "require_fit"]


def parameters(module: nn.Module) -> int:
    """Number of elements of all parameters, each shared one once, without buffers."""
    _require_module("module", module)
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(network: nn.Module, image_size: int, in_channels: int = 3) -> int:
    """Multiply-adds of all convolutions and linear layers for one image, as papers count them.

    The rule: one for each multiplication by a weight, where a convolution multiplies at its padding
    too. Bias, normalisation, pooling, activations and additions are not counted, nor is what runs
    in training only, such as an auxiliary head. Matrix products outside layers count as linear
    layers do.

    Nothing is computed, and the network stays as it is: a copy without data is run.

    Args:
        network: maps images (1, in_channels, image_size, image_size) to anything.
        image_size: height and width of the images in pixels, at least 1.
        in_channels: channels of the images, at least 1.

    Raises:
        ValueError: an argument is out of its range, or the images do not fit the network.
    """
    image_size = size("image_size", image_size, 1, limits.IMAGE_SIZE, "image_size=")
    in_channels = size("in_channels", in_channels, 1, limits.CHANNELS, "in_channels=")
    outline = _outline(network)
    with FlopCounterMode(display=False) as counter:
        _run(outline, (1, in_channels, image_size, image_size))
    return _multiply_adds(counter)


def multiply_adds_per_word(network: nn.Module) -> int:
    """Multiply-adds of a language model for a word, the decoder included, as `multiply_adds`.

    Looking up the word's vector multiplies nothing.

    Args:
        network: maps tokens (T, B) and a state to anything; `initial_state(B)` gives a state.
    """
    outline = _outline(network)
    if not hasattr(network, "initial_state"):
        raise TypeError(
            f"network must be a language model with initial_state(B), got {shown(network)}"
        )
    # Two texts: a supernet normalises over them.
    words = torch.zeros((1, 2), dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outline(words, cast(Any, outline).initial_state(2))
    return _multiply_adds(counter) // 2


def _outline(network: nn.Module) -> nn.Module:
    return copy.deepcopy(_require_module("network", network)).to("meta").eval()


def _require_module(name: str, value: object) -> nn.Module:
    return instance(name, value, nn.Module, "an nn.Module")


def _multiply_adds(counter: FlopCounterMode) -> int:
    """Multiply-adds counted: two flops, a multiplication and an addition, are one."""
    return int(counter.get_total_flops()) // 2


def require_fit(network: nn.Module, image_size: int, in_channels: int = 3) -> None:
    """Raise ValueError where such images cannot pass the network in training mode.

    The auxiliary head, if there is one, is passed too. Nothing is computed.
    """
    _run(copy.deepcopy(network).to("meta").train(), (2, in_channels, image_size, image_size))


def _run(outline: nn.Module, shape: tuple[int, ...]) -> None:
    """Pass images without data through a network without data."""
    dtype = next((p.dtype for p in outline.parameters() if p.is_floating_point()), None)
    try:
        with torch.no_grad():
            outline(torch.empty(shape, dtype=dtype, device="meta"))
    except NotImplementedError:
        raise  # an operation that cannot run without data says so; a RuntimeError by inheritance
    except (RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ValueError(
            f"images of shape {shape} do not fit the network: {reason}; "
            "choose another image_size or in_channels"
        ) from error
