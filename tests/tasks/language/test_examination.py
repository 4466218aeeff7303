from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nni_darts.tasks.language import examination
from nni_darts.tasks.language.streams import StreamLoader, equal_lengths, streams


class Guess:
    """A model whose logits follow from the word it reads, and that notes the states it gets."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.states: list[int] = []

    def initial_state(self, count: int) -> Tensor:
        return torch.zeros(count, 1)

    def __call__(self, tokens: Tensor, state: Tensor) -> Any:
        self.states.append(int(state.item()))
        return SimpleNamespace(logits=self.logits[tokens], state=state + len(tokens))


def measured(tokens: list[int], model: Guess) -> dict[str, float]:
    text = streams(torch.tensor(tokens), 1)
    data: Any = SimpleNamespace(test_dataloader=lambda: StreamLoader(text, equal_lengths(3)))
    return examination.test(model, data, torch.device("cpu"))  # type: ignore[arg-type]


def test_every_word_after_the_first_counts_alike() -> None:
    # After 0 comes 0 in a quarter of the cases, after 1 in a half; batches of 3 words and of 1.
    model = Guess(torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]))
    found = measured([0, 0, 1, 0, 0], model)
    nats = sum(map(math.log, (4, 4 / 3, 2, 4)))
    assert found["test_loss"] == pytest.approx(nats / 4)
    assert found["test_ppl"] == pytest.approx(math.exp(nats / 4))
    # The second batch is read on from the first.
    assert model.states == [0, 3]


def test_a_perplexity_beyond_all_numbers_is_finite() -> None:
    found = measured([0, 1, 0, 1], Guess(torch.tensor([[2e3, 0.0], [0.0, 2e3]])))
    assert found["test_loss"] == pytest.approx(2000)
    assert math.isfinite(found["test_ppl"])


def test_a_tiny_batch_has_the_last_word() -> None:
    data: Any = SimpleNamespace(vocabulary=100)
    batch = examination.tiny_batch(data, 2)
    assert batch.tokens.tolist() == [[0, 33], [66, 99]]
    assert batch.targets.tolist() == [[66, 99], [0, 33]]
    assert batch.before.state is None
    assert batch.before is not batch.after
