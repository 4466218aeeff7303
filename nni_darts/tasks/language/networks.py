"""The language models that are trained: how they are made and counted."""

from __future__ import annotations

import torch

from nni_darts._common.table import Column, lines
from nni_darts.genotypes.genotype import Genotype
from nni_darts.tasks.language.data import TextTrainingData
from nni_darts.tasks.language.settings import TextTraining
from nni_darts.training import network_size
from search_spaces.darts_rnn_network import DartsRNNNetwork

_DROPOUTS = ("dropout_out", "dropout_h", "dropout_x", "dropout_i", "dropout_e")
_OF_PAPERS = (
    ("Penn Treebank (10,000 words, 850 units)", 10_000, 850),
    ("WikiText-2 (33,278 words, 700 units)", 33_278, 700),
)


def fresh_network(
    genotype: Genotype, settings: TextTraining, data: TextTrainingData
) -> DartsRNNNetwork:
    """The fresh network of a training; ValueError where the genotype or the settings do not fit."""
    return DartsRNNNetwork(
        genotype,
        data.vocabulary,
        settings.embedding,
        settings.hidden,
        **{name: getattr(settings, name) for name in _DROPOUTS},
    )


def count(network: DartsRNNNetwork) -> dict[str, int]:
    """Parameters, and the multiply-adds of one word."""
    return {
        "params": network_size.parameters(network),
        "multiply_adds": network_size.multiply_adds_per_word(network),
    }


def sizes(genotype: Genotype) -> list[str]:
    """Lines of a table: the networks at the papers' sizes."""
    rows = []
    for name, vocabulary, hidden in _OF_PAPERS:
        with torch.device("meta"):
            network = DartsRNNNetwork(genotype, vocabulary, hidden, hidden)
        rows.append([name, *(f"{number:,}" for number in count(network).values())])
    columns = [Column("", left=True, width=40), Column("parameters"), Column("multiply-adds")]
    return lines(columns, rows)
