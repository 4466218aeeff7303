"""Losses and steps of language models, in a search and from scratch (arXiv 1708.02182)."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torchmetrics import MeanMetric

from nni_darts.tasks.language.streams import Words


class Settings(Protocol):
    """Settings of the losses, as `nni_darts.tasks.language.settings` has them."""

    @property
    def bptt(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def activation(self) -> float: ...
    @property
    def slowness(self) -> float: ...


class Perplexity(MeanMetric):
    """Perplexity: exp of a mean cross entropy (nats), updated with (mean of some words, number)."""

    def compute(self) -> Tensor:
        return super().compute().exp()


def read(model: Any, words: Words) -> Any:
    """Output of the model for a batch, read on from the state that the batch before has left.

    Args:
        model: a `search_spaces.darts_rnn_network.LanguageModel`.
        words: a batch; it gets the state that it leaves.
    """
    state = words.before.state
    if state is None:
        state = model.initial_state(words.tokens.shape[1])
    output = model(words.tokens, state)
    words.after.state = output.state.detach()
    return output


def cross_entropy(output: Any, words: Words) -> Tensor:
    """Mean cross entropy over the words of a batch, in nats: ()."""
    return nn.functional.cross_entropy(output.logits.flatten(0, 1), words.targets.flatten())


def penalties(output: Any, settings: Settings) -> Tensor:
    """Penalties of a batch: activation and temporal activation regularisation, ()."""
    total: Tensor = output.raw.new_zeros(())
    if settings.activation:
        total = total + settings.activation * output.dropped.pow(2).mean()
    if settings.slowness and len(output.raw) > 1:
        total = total + settings.slowness * (output.raw[1:] - output.raw[:-1]).pow(2).mean()
    return total


def optimizer(module: nn.Module, settings: Settings) -> SGD:
    """SGD without momentum."""
    return SGD(module.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)


def scale(sgd: torch.optim.Optimizer, settings: Settings, words: Words) -> None:
    """Set the learning rate in proportion to the length of the batch, as its loss is a mean."""
    for group in sgd.param_groups:
        # Who begins with another one afterwards says so as schedulers do.
        rate = group.get("initial_lr", settings.learning_rate)
        group["lr"] = rate * len(words.tokens) / settings.bptt
