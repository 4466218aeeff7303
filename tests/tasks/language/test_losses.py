from __future__ import annotations

import pytest
import torch
from torch import nn

from nni_darts.genotypes.random_cells import draw_recurrent
from nni_darts.tasks.language.losses import penalties, read
from nni_darts.tasks.language.settings import TextTraining
from nni_darts.tasks.language.streams import StreamLoader, equal_lengths
from nni_darts.tasks.language.training_module import TextTrainingRecipe
from search_spaces import DartsRNNNetwork

GENOTYPE = draw_recurrent(1, 0, num_nodes=2)[0]


def test_penalties_are_those_of_the_paper() -> None:
    network = DartsRNNNetwork(GENOTYPE, 9, 6, 6)
    batch = next(iter(StreamLoader(torch.randint(9, (6, 3)), equal_lengths(5))))
    output = read(network, batch)
    raw, dropped = output.raw, output.dropped
    both = penalties(output, TextTraining(activation=2.0, slowness=3.0))
    change = sum(float((raw[t + 1] - raw[t]).pow(2).mean()) for t in range(4)) / 4
    expected = 2 * float(dropped.pow(2).mean()) + 3 * change
    assert float(both) == pytest.approx(expected, rel=1e-5)
    one = next(iter(StreamLoader(torch.randint(9, (2, 3)), equal_lengths(5))))
    assert float(penalties(read(network, one), TextTraining(slowness=3.0))) == 0


def test_the_learning_rate_is_in_proportion_to_the_length() -> None:
    recipe = TextTrainingRecipe(
        DartsRNNNetwork(GENOTYPE, 9, 6, 6), TextTraining(learning_rate=10.0, bptt=10), {}
    )
    (sgd,) = [recipe.configure_optimizers()]
    for length in (10, 5, 13):
        (batch,) = StreamLoader(torch.zeros(length + 1, 2, dtype=torch.int64), equal_lengths(99))
        recipe.on_train_batch_start(batch, 0)
        assert sgd.param_groups[0]["lr"] == pytest.approx(10.0 * length / 10)
    sgd.param_groups[0]["initial_lr"] = 2.0
    recipe.on_train_batch_start(batch, 0)
    assert sgd.param_groups[0]["lr"] == pytest.approx(2.0 * 13 / 10)


def test_reading_on_is_reading_at_once() -> None:
    network = DartsRNNNetwork(GENOTYPE, 9, 6, 6).eval()
    for weight in network.parameters():
        nn.init.normal_(weight)  # so that the state matters
    tokens = torch.randint(9, (13, 3))
    (at_once,) = (read(network, b) for b in StreamLoader(tokens, equal_lengths(12)))
    parts = [read(network, batch).logits for batch in StreamLoader(tokens, equal_lengths(5))]
    torch.testing.assert_close(torch.cat(parts), at_once.logits)
