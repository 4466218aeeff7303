"""Examination of language models: a tiny batch to try them with, and the test on the test text."""

from __future__ import annotations

import math

import torch
from torch import nn

from nni_darts.tasks.language import losses
from nni_darts.tasks.language.data import TextSearchData, TextTrainingData
from nni_darts.tasks.language.streams import Carried, Words


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


def tiny_batch(data: TextSearchData, examples: int) -> Words:
    """Batch of so few words in as many streams, the last word of the vocabulary among them."""
    words = torch.linspace(0, data.vocabulary - 1, examples * examples).long()
    tokens = words.view(examples, examples)
    return Words(tokens, tokens.flip(0), Carried(), Carried())
