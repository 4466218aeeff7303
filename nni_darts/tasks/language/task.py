"""What runs on text are made of. See `nni_darts.tasks.base.Task.parts`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.random_cells import draw_recurrent as draw
from nni_darts.tasks.language import losses
from nni_darts.tasks.language.data import TextSearchData, TextTrainingData
from nni_darts.tasks.language.search_module import TextSearchRecipe
from nni_darts.tasks.language.settings import TextSearch, TextTraining
from nni_darts.tasks.language.streams import Carried, Words
from nni_darts.tasks.language.training_module import TextTrainingRecipe
from nni_darts.tasks.settings import Component, Search, Training
from nni_darts.training import network_size
from search_spaces.darts_rnn_network import DartsRNNNetwork

SEARCH_DATA = TextSearchData
TRAINING_DATA = TextTrainingData
FOR_SPACE = {"vocabulary": "its number of words"}
"""What the data knows and spaces take, and what it is."""
TEST_BATCH = 1
__all__ = [
    "FOR_SPACE",
    "SEARCH_DATA",
    "TEST_BATCH",
    "TRAINING_DATA",
    "alone",
    "check_data",
    "check_tested",
    "count",
    "draw",
    "input_of",
    "misfits",
    "network",
    "require_known",
    "require_output",
    "require_taken",
    "search_recipe",
    "test",
    "tiny_batch",
    "training_recipe",
    "validates",
]

_DROPOUTS = ("dropout_out", "dropout_h", "dropout_x", "dropout_i", "dropout_e")


def check_data(component: Component, module: TextSearchData | TextTrainingData) -> None:
    """What is wrong with a text; they are small enough to be read."""
    module.setup("fit")


def check_tested(component: Component, module: TextTrainingData) -> None:
    """Whether the test text is there, and is not too short."""
    module.check_test()


def require_known(component: Component, module: Any) -> None:
    """Our texts know all."""


def require_taken(settings: Training | Search, parameters: Mapping[str, Any], name: str) -> None:
    """All texts are ours, and take all."""


def validates(module: Any) -> bool:
    """There always is a validation text."""
    return True


def input_of(module: TextTrainingData) -> dict[str, Any]:
    """The words that a network trained on a text knows, by their numbers."""
    return {"words": list(module.words)}


def misfits(trained: Mapping[str, Any], module: TextTrainingData) -> list[str]:
    """Where the text has other words than a network was trained on.

    Args:
        trained: the network's arguments and its `input_of`.
        module: the text.
    """
    known = tuple(trained.get("words", module.words))
    if known == module.words and trained["vocabulary"] == module.vocabulary:
        return []
    return [
        f"was trained with {trained['vocabulary']} words, {module.name} has other words, "
        f"{module.vocabulary}; choose the text that it was trained on"
    ]


def tiny_batch(module: TextSearchData, examples: int, loaded: bool) -> Words:
    """A batch of so few words in as many streams, the last word of the vocabulary among them."""
    words = torch.linspace(0, module.vocabulary - 1, examples * examples).long()
    tokens = words.view(examples, examples)
    return Words(tokens, tokens.flip(0), Carried(), Carried())


def require_output(network: nn.Module, batch: Words, module: Any) -> None:
    """The recipe asks for a number for each word of the text."""


def search_recipe(settings: TextSearch, data: Any) -> TextSearchRecipe:
    return TextSearchRecipe(settings)


def network(genotype: Genotype, settings: TextTraining, data: TextTrainingData) -> DartsRNNNetwork:
    """The fresh network of a training; ValueError where the genotype or the settings do not fit."""
    return DartsRNNNetwork(
        genotype,
        data.vocabulary,
        settings.embedding,
        settings.hidden,
        **{name: getattr(settings, name) for name in _DROPOUTS},
    )


def training_recipe(
    network: DartsRNNNetwork, settings: TextTraining, described: dict[str, Any]
) -> pl.LightningModule:
    return TextTrainingRecipe(network, settings, described)


def count(network: DartsRNNNetwork, data: Any) -> dict[str, int]:
    """Parameters, and the multiply-adds of one word."""
    return {
        "params": network_size.parameters(network),
        "multiply_adds": network_size.multiply_adds_per_word(network),
    }


def alone(batch_size: int) -> Training:
    """Settings to take data with for a test, without a training."""
    if batch_size != TEST_BATCH:
        raise SettingsError(
            [f"batch_size: a text is tested on as it is read, in one stream, got {batch_size}"]
        )
    return TextTraining(batch_size=batch_size)


def test(network: nn.Module, data: TextTrainingData, device: torch.device) -> dict[str, float]:
    """Perplexity and mean cross entropy on the test text, each word after the first, in float32."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in data.test_dataloader():
            words = batch._replace(tokens=batch.tokens.to(device), targets=batch.targets.to(device))
            loss = losses.cross_entropy(losses.read(network, words), words)
            total += float(loss) * words.targets.numel()
            count += words.targets.numel()
    return {"test_ppl": math.exp(min(total / count, 700)), "test_loss": total / count}
