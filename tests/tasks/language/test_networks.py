from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from nni_darts.genotypes.published import get
from nni_darts.tasks.language import networks
from nni_darts.tasks.language.settings import TextTraining

RNN = get("RNN_DARTS_V2")
DATA: Any = SimpleNamespace(vocabulary=9)


def test_a_network_is_made_for_the_settings_and_the_data() -> None:
    dropouts = {f"dropout_{which}": 0.1 * i for i, which in enumerate("hxie", 1)}
    settings = TextTraining(embedding=6, hidden=6, dropout_out=0.5, **dropouts)
    arguments = networks.fresh_network(RNN, settings, DATA).arguments
    assert (arguments["vocabulary"], arguments["hidden"]) == (9, 6)
    assert {name: arguments[name] for name in dropouts} == dropouts
    assert arguments["dropout_out"] == 0.5


def test_settings_that_do_not_fit(message: Callable[..., str]) -> None:
    settings = TextTraining(embedding=6, hidden=8)
    assert "6" in message(ValueError, networks.fresh_network, RNN, settings, DATA)


def test_a_word_multiplies_by_each_weight_of_the_cell_and_the_decoder() -> None:
    network = networks.fresh_network(RNN, TextTraining(embedding=6, hidden=6), DATA)
    counts = networks.count(network)
    assert counts["params"] == sum(weight.numel() for weight in network.parameters())
    # The first state by (2 * 6, 2 * 6) weights, each of 8 nodes by (6, 2 * 6), the words by (6, 9).
    assert counts["multiply_adds"] == 12 * 12 + 8 * 6 * 12 + 6 * 9


def test_the_sizes_of_the_papers() -> None:
    head, ptb, wikitext = networks.sizes(RNN)
    assert head.split() == ["parameters", "multiply-adds"]
    for line, name, words, hidden in (
        (ptb, "Penn Treebank (10,000 words, 850 units)", 10_000, 850),
        (wikitext, "WikiText-2 (33,278 words, 700 units)", 33_278, 700),
    ):
        assert line.startswith(name)
        cell = 4 * hidden**2 + 8 * 2 * hidden**2
        params, multiply_adds = (int(n.replace(",", "")) for n in line.split()[-2:])
        assert multiply_adds == cell + hidden * words
        # The vectors of the words are the decoder's weights, which has a bias besides.
        assert params == multiply_adds + words
