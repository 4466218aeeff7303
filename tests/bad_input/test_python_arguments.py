"""Wrong arguments of all that a user makes or calls in Python: one line that names the argument."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spaces
import torch
from nni.nas.profiler import ExpressionProfiler
from torch import nn

from nni_darts._common import limits
from nni_darts.assessor import AlphaMonitor
from nni_darts.genotypes import published
from nni_darts.genotypes.cell import Cell
from nni_darts.genotypes.derivation import derive, strength, top_k
from nni_darts.genotypes.genotype import PRIMITIVES, Genotype
from nni_darts.genotypes.random_cells import draw, draw_recurrent
from nni_darts.pictures.animation import animation, frames_of
from nni_darts.pictures.drawing import draw as draw_picture
from nni_darts.pictures.drawing import (
    figure_of_cell,
    figure_of_cells,
    heat_maps,
    plot_history,
    save,
)
from nni_darts.search import functions, loader
from nni_darts.search.strategy import UnrolledDARTS
from nni_darts.supernet.mixed import Node
from nni_darts.supernet.nodes import Nodes, recompute
from nni_darts.tasks.images import augmentation
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.training_data import TrainingData
from nni_darts.tasks.language import streams
from nni_darts.tasks.language.data import TextSearchData, TextTrainingData
from nni_darts.training import checkpoint, network_size
from nni_darts.training.devices import free_devices
from nni_darts.training.precision import lightning_precision
from search_spaces import (
    DartsCNN,
    DartsNetwork,
    DartsRNN,
    DartsRNNNetwork,
    darts_network,
    darts_rnn_network,
    operations,
)
from search_spaces.operations import DropPath

NAN, INF, HUGE = math.nan, math.inf, 10**30
ENDLESS = 10**5000  # Python refuses to write it out
CNN, RNN = published.get("DARTS_V2"), published.get("RNN_DARTS_V2")
ALPHAS = np.zeros((14, 8))
LINEAR = nn.Linear(2, 2)
SGD = torch.optim.SGD(LINEAR.parameters(), 0.1)
EDGES = [nn.Identity(), nn.Identity()]
IMAGES = torch.zeros(2, 3, 8, 8)


class Odd:
    """What shows itself in two lines."""

    def __repr__(self) -> str:
        return "an odd\nthing"


NO_WHOLE = ["4", 4.0, True, np.True_, NAN, None, [4], -1, HUGE, ENDLESS, Odd()]
NO_SEED = ["0", 0.5, True, None, -1, 2**32, HUGE]
NO_TRUTH = [1, 0, "yes", None, [True]]
NO_NUMBER = ["0.5", True, np.True_, NAN, INF, -INF, [0.5], Odd()]
NO_SHARE = [*NO_NUMBER, None, -0.1, 1.0, 10**400]
NO_PATH = [5, True, b"x", ["x"], "a\0b", "x" * 5000]
NO_NAME = [5, None, True, ["digits"], "dig"]
NO_NAMES = [None, 5, "sep_conv_3x3", [], ["none"], [5], ["skip_connect"] * 2, [["none"]], Odd()]
NO_GENOTYPE = [None, "DARTS_V2", 5, [CNN], CNN.normal]
NO_NETWORK = [None, "network", 5, DartsNetwork]

cnn_network = partial(DartsNetwork, CNN)
rnn_network = partial(DartsRNNNetwork, RNN, 10)
rnn_space = partial(DartsRNN, vocabulary=10)


def step(**arguments: Any) -> Any:
    """The architect's finite difference, with one argument of another kind."""
    good: dict[str, Any] = {
        "train_loss": lambda: LINEAR(torch.ones(1, 2)).sum(),
        "val_loss": lambda: LINEAR(torch.ones(1, 2)).sum(),
        "weights": list(LINEAR.parameters()),
        "alphas": [torch.zeros(1, requires_grad=True)],
        "optimizer": SGD,
        "modules": [LINEAR],
    }
    return functions.finite_difference(**{**good, **arguments})


def devices(count: Any) -> None:
    with free_devices(count, gpus=[]):
        pass


TABLE: list[tuple[Callable[..., Any], str, list[Any]]] = [
    (UnrolledDARTS, "hypergradient", [None, 5, ["exact"], "exakt", True]),
    (UnrolledDARTS, "relaxation", [None, 5, ["softmax"], "softmx", True, {"nam": "softmax"}]),
    (UnrolledDARTS, "selection", [None, 5, ["strongest"], "strong", True, {"name": 5}]),
    (UnrolledDARTS, "fused", NO_TRUTH),
    (UnrolledDARTS, "recompute", NO_TRUTH),
    (UnrolledDARTS, "cuda_graphs", NO_TRUTH),
    (UnrolledDARTS, "arc_learning_rate", [*NO_NUMBER, None, 0, -1e-3]),
    (UnrolledDARTS, "arc_weight_decay", [*NO_NUMBER, None, -1e-3]),
    (UnrolledDARTS, "arc_betas", [None, 0.5, (0.5,), (0.5, 1.0), (0.5, "0.9"), (-0.1, 0.9), "ab"]),
    (UnrolledDARTS, "gradient_clip_val", [*NO_NUMBER, 0, -1]),
    (UnrolledDARTS, "virtual_clip", [*NO_NUMBER, 0, -1]),
    (UnrolledDARTS, "log_prob_every_n_step", ["1", 1.5, True, 0, -1, NAN]),
    (UnrolledDARTS, "warmup_epochs", NO_WHOLE),
    (UnrolledDARTS, "penalty", [5, "flops", ["profiler"], nn.Identity(), {}, {"profile": 1}]),
    (UnrolledDARTS, "mutation_hooks", [5, "hook", [5], {"hook": 1}, lambda: None]),
    (DartsCNN, "channels", [*NO_WHOLE, 0, 3, 70_000]),
    (DartsCNN, "num_cells", [*NO_WHOLE, 2, 5_000]),
    (DartsCNN, "num_classes", [*NO_WHOLE, 1, 2**31]),
    (DartsCNN, "num_nodes", [*NO_WHOLE, 0, 65, 10_000]),
    (DartsCNN, "primitives", [*NO_NAMES, ["sep_conv_3x4", "none"]]),
    (DartsCNN, "stem", [None, 5, ["cifar"], "mnist"]),
    (DartsCNN, "in_channels", [*NO_WHOLE, 0]),
    (cnn_network, "channels", [*NO_WHOLE, 0, 3]),
    (cnn_network, "num_cells", [*NO_WHOLE, 2]),
    (cnn_network, "num_classes", [*NO_WHOLE, 1]),
    (cnn_network, "auxiliary", NO_TRUTH),
    (cnn_network, "drop_path", NO_SHARE),
    (cnn_network, "stem", [None, 5, ["cifar"], "mnist"]),
    (cnn_network, "in_channels", [*NO_WHOLE, 0]),
    (DartsNetwork, "genotype", [*NO_GENOTYPE, RNN]),
    (partial(setattr, DartsNetwork(CNN, 4, 3), "drop_path"), "drop_path=", NO_SHARE),
    (DropPath, "p", NO_SHARE),
    (DartsRNN, "vocabulary", [*NO_WHOLE, 1]),
    (rnn_space, "hidden", [*NO_WHOLE, 0, 100]),
    (rnn_space, "embedding", [*NO_WHOLE, 0]),
    (rnn_space, "num_nodes", [*NO_WHOLE, 0, 65]),
    (rnn_space, "primitives", [*NO_NAMES, ["sep_conv_3x3"]]),
    (rnn_space, "dropout_h", NO_SHARE),
    (partial(DartsRNNNetwork, vocabulary=10), "genotype", [*NO_GENOTYPE, CNN]),
    (partial(DartsRNNNetwork, RNN), "vocabulary", [*NO_WHOLE, 1]),
    (rnn_network, "hidden", [*NO_WHOLE, 0]),
    (rnn_network, "embedding", [*NO_WHOLE, 0]),
    *((rnn_network, f"dropout_{which}", NO_SHARE) for which in ("out", "h", "x", "i", "e")),
    (partial(Node, n_chosen=1, label="n"), "edges", [None, 5, [], ["edge"], nn.Identity()]),
    (partial(Node, EDGES, label="n"), "n_chosen", [*NO_WHOLE, 0, 3]),
    (partial(Node, EDGES, 1), "label=", [None, 5, "", ["n"]]),
    (Nodes, "nodes=", [5, ["node"], "nodes"]),
    (recompute, "network=", NO_NETWORK),
    (BilevelData, "name=data set", NO_NAME),
    (TrainingData, "name=data set", NO_NAME),
    (partial(BilevelData, "image_folder"), "root", NO_PATH),
    (partial(BilevelData, "digits"), "batch_size", [*NO_WHOLE, 0]),
    (partial(BilevelData, "digits"), "seed", NO_SEED),
    (partial(BilevelData, "digits"), "num_workers", [*NO_WHOLE, 2000]),
    (partial(BilevelData, "digits"), "image_size", ["8", 8.0, True, 3, 5_000, HUGE, NAN]),
    (partial(BilevelData, "digits"), "on_device", NO_TRUTH),
    (partial(TrainingData, "digits"), "val_share", NO_SHARE),
    (partial(TrainingData, "digits"), "cutout", [*NO_WHOLE, 9]),
    (partial(TrainingData, "digits"), "run_seed", NO_SEED),
    (TextSearchData, "name=text", NO_NAME),
    (TextTrainingData, "name=text", NO_NAME),
    (partial(TextSearchData, "text"), "root", NO_PATH),
    (partial(TextSearchData, "alice"), "batch_size", [*NO_WHOLE, 0]),
    (partial(TextSearchData, "alice"), "bptt", [*NO_WHOLE, 0]),
    (partial(TextTrainingData, "alice"), "run_seed", NO_SEED),
    (partial(streams.streams, torch.arange(9)), "count=", [*NO_WHOLE, 0]),
    *(
        (lengths, "bptt=", [*NO_WHOLE, 0])
        for lengths in (streams.equal_lengths, streams.halved_lengths, streams.varied_lengths)
    ),
    (partial(augmentation.cutout, IMAGES), "pixels=", NO_WHOLE),
    (partial(augmentation.random_shift, IMAGES), "padding=", NO_WHOLE),
    (partial(loader.BilevelLoader, val=[], before_epoch=print), "train", [None, 5]),
    (partial(loader.BilevelLoader, [], before_epoch=print), "val", [None, 5]),
    (partial(loader.BilevelLoader, [], []), "before_epoch", [None, 5]),
    (Genotype, "cells", [None, 5, "cells", [5], {"normal": 1}]),
    (partial(Cell, nodes=[[("relu", 0)]], concat=[1]), "kind", [None, 5, "norml", ["normal"]]),
    (partial(Cell, "recurrent", concat=[1]), "nodes=node", [None, 5, "x", [5], [[5]], [[(5, 0)]]]),
    (partial(Cell, "recurrent", [[("relu", 0)]]), "concat", [None, 5, "1", [], ["1"], [HUGE]]),
    (partial(Cell, "recurrent", [[("relu", 0)]], [1]), "operations", [None, 5, "swish", [5]]),
    (Genotype.parse, "text=genotype", [None, 5, b"{}", "", "x" * 60_000, Odd()]),
    (partial(Genotype.parse, RNN.to_json()), "operations", [None, 5, "swish", [5]]),
    (Genotype.from_sample, "sample", [None, 5, "normal_2", [("normal_2", 0)]]),
    (partial(Genotype.from_sample, RNN.to_sample()), "concat", [5, [1], {"recurrent": 5}]),
    (CNN.to_text, "format", [None, 5, ["json"], "authors2"]),
    (published.get, "name=genotype", [None, 5, ["DARTS_V2"], "DARTS_V3"]),
    (published.source, "name=genotype", [None, 5, ["DARTS_V2"], "DARTS_V3"]),
    (published.named, "text=genotype", [None, 5, ["DARTS_V2"], "DARTS_V3"]),
    (
        published.from_argument,
        "text=genotype",
        [None, 5, True, ["DARTS_V2"], "DARTS_V3", b"DARTS_V2"],
    ),
    (partial(derive, primitives=PRIMITIVES), "alphas", [None, 5, "a", [["a"] * 8], [[0], [1, 2]]]),
    (partial(derive, ALPHAS), "primitives", [None, 5, [5] * 8, [["none"]] * 8, []]),
    (partial(derive, ALPHAS, PRIMITIVES), "k", ["1", 1.0, True, 0, 3, HUGE, NAN]),
    (partial(derive, ALPHAS, PRIMITIVES), "kind", [None, 5, "norml", ["normal"]]),
    (partial(strength, primitives=PRIMITIVES), "alphas", [None, "a", ALPHAS * NAN, ALPHAS * 1j]),
    (partial(top_k, primitives=PRIMITIVES, n=1), "alphas_by_cell", [None, 5, ALPHAS]),
    (
        partial(top_k, {"normal": ALPHAS, "reduce": ALPHAS}, PRIMITIVES),
        "n",
        [*NO_WHOLE, 0],
    ),
    *(
        (one, "count", [*NO_WHOLE, 0])
        for one in (partial(draw, seed=0), partial(draw_recurrent, seed=0))
    ),
    *(
        (partial(one, 1), "seed", ["0", 0.5, True, None, -1, 2**32, HUGE])
        for one in (draw, draw_recurrent)
    ),
    *((partial(one, 1, 0), "num_nodes", [*NO_WHOLE, 0]) for one in (draw, draw_recurrent)),
    *(
        (partial(one, 1, 0), "primitives", [None, 5, [], [5], [["relu"]]])
        for one in (draw, draw_recurrent)
    ),
    (network_size.parameters, "module=", NO_NETWORK),
    (partial(network_size.multiply_adds, image_size=8), "network", NO_NETWORK),
    (partial(network_size.multiply_adds, LINEAR), "image_size", [*NO_WHOLE, 0]),
    (partial(network_size.multiply_adds, LINEAR, 8), "in_channels", [*NO_WHOLE, 0]),
    (network_size.multiply_adds_per_word, "network", [*NO_NETWORK, LINEAR]),
    (AlphaMonitor, "on_collapse", [None, 5, "kill", ["warn"]]),
    (AlphaMonitor, "max_skips", [None, "2x", 2.5, -1, NAN]),
    (AlphaMonitor, "epochs", [None, "x", 2.5, 0, NAN]),
    (AlphaMonitor, "min_entropy", ["x", -1, NAN]),
    (AlphaMonitor, "max_skip", [2]),
    (partial(draw_picture, path="x.svg"), "genotype", NO_GENOTYPE),
    (partial(draw_picture, CNN), "path", [None, 5, b"x.svg", ["x.svg"]]),
    (partial(draw_picture, CNN, "x.svg"), "title", [5, ["title"]]),
    (partial(plot_history, path="x.svg"), "records", [None, 5, [], "history.csv", {}, [{}]]),
    (partial(plot_history, []), "path", [None, 5, ["x.svg"]]),
    (partial(save, path="x.svg"), "figure", [None, 5, b"figure"]),
    (heat_maps, "record", [None, 5, "n2<0 sep3", ["n2<0 sep3"], {"n2<0 sep3": 1.0}]),
    (figure_of_cell, "cell", [None, 5, CNN, "normal"]),
    (figure_of_cells, "cells", [None, 5, [], [5], "normal"]),
    (frames_of, "records", [None, 5, [5], "epoch", {"epoch": 0}, [{"epoch": 0}]]),
    (animation, "frames", [None, 5, [], [5], "epoch"]),
    (checkpoint.read, "path=", [*NO_PATH, None]),
    (checkpoint.load, "path=", [*NO_PATH, None]),
    (devices, "count=devices", [*NO_WHOLE, 0]),
    (partial(lightning_precision, device=torch.device("cpu")), "precision", [None, 32, "tf23"]),
    (partial(lightning_precision, "32-true"), "device", [None, "cpu", 0]),
    (step, "train_loss", [None, 5, torch.zeros(())]),
    (step, "val_loss", [None, 5, torch.zeros(())]),
    (step, "weights", [None, 5, [5], (p for p in LINEAR.parameters()), torch.zeros(2)]),
    (step, "alphas", [None, 5, [5], iter(())]),
    (step, "optimizer", [None, 5, "sgd", torch.optim.SGD]),
    (step, "modules", [None, 5, [5]]),
    (step, "clip", [*NO_NUMBER, 0, -1]),
]
"""What is called, its argument, wrong values.

With "=" the argument is positional, and what the message names stands after it, if it differs.
"""


def cases() -> Iterator[Any]:
    for number, (call, argument, values) in enumerate(TABLE):
        name, positional, said = argument.partition("=")
        for i, value in enumerate(values):
            made = partial(call, value) if positional else partial(call, **{name: value})
            yield pytest.param(made, said or name, id=f"{number}-{name}-{i}")


RAW = (
    "not supported between",
    "object is not",
    "has no attribute",
    "unhashable",
    "cannot be interpreted",
    "required positional",
    "unexpected keyword",
    "could not convert",
    "too large to convert",
    "Exceeds the limit",
    "must be real number",
    "inhomogeneous",
    "embedded null",
)
"""Of messages of Python's own, which say nothing to who has made the mistake."""


@pytest.mark.parametrize(("call", "name"), [*cases()])
def test_one_line_names_the_argument(
    call: Callable[[], Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable() and len(text) < 1000  # noqa: PT018
    assert name in text
    assert not [raw for raw in RAW if raw in text]
    assert time.monotonic() - started < 5
    assert not list(tmp_path.iterdir())


def test_there_are_enough_cases() -> None:
    assert len(list(cases())) >= 100


@pytest.mark.parametrize(
    "call",
    [
        lambda: DartsCNN(channels=8_192, num_cells=20),
        lambda: DartsCNN(num_nodes=64, num_cells=1_000),
        lambda: DartsCNN(channels=4, num_cells=3, in_channels=4, num_classes=10**6),
        lambda: cnn_network(channels=16_384),
        lambda: cnn_network(channels=512, num_cells=1_000),
        lambda: rnn_space(vocabulary=50_000, embedding=60_000, hidden=60_000),
        lambda: rnn_network(embedding=65_536, hidden=65_536),
    ],
)
def test_the_weights_are_counted_before_they_are_made(
    call: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, message: Callable[..., str]
) -> None:
    monkeypatch.setattr(limits, "PARAMETERS", 30_000_000)
    started = time.monotonic()
    text = message(ValueError, call)
    assert "parameters, expected at most 30,000,000; choose smaller ones" in text
    assert time.monotonic() - started < 5


class Counted:
    """What a check of the weights has counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        self.weights = -1
        self._check = module.require_affordable
        monkeypatch.setattr(module, "require_affordable", self)

    def __call__(self, weights: int, sizes: str) -> None:
        self.weights = weights
        self._check(weights, sizes)


@pytest.mark.parametrize(
    "make",
    [
        partial(DartsCNN, 4, 5),
        partial(DartsCNN, 4, 6, num_classes=3, num_nodes=2, stem="imagenet", in_channels=1),
        partial(DartsCNN, 4, 3, primitives=("none", "conv_7x1_1x7", "skip_connect")),
        partial(cnn_network, 4, 8),
        partial(cnn_network, 6, 7, auxiliary=True),
        partial(cnn_network, 6, 7, auxiliary=True, stem="imagenet", in_channels=1),
        partial(DartsNetwork, published.get("AmoebaNet"), 4, 5),
    ],
)
def test_the_count_is_exact(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, darts_network)
    assert counted.weights < network_size.parameters(made := make()) == counted.weights
    assert next(made.parameters()).device.type == "cpu"


@pytest.mark.parametrize(
    "make", [partial(rnn_space, embedding=6, hidden=6), partial(rnn_network, 5, 5)]
)
def test_the_count_of_a_language_model(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch, darts_rnn_network)
    assert counted.weights < network_size.parameters(make()) == counted.weights


def test_counting_draws_nothing() -> None:
    frame = darts_network.check_frame(4, 3, 10, "cifar", 3)
    concat = {cell.kind: cell.concat for cell in CNN.cells}
    edges = {cell.kind: Counter([("sep_conv_3x3", True)]) for cell in CNN.cells}
    before = torch.get_rng_state()
    operation, norm = operations.network_operation, operations.network_norm
    assert darts_network.check_weights(frame, concat, edges, operation, norm) > 0
    assert torch.equal(before, torch.get_rng_state())


INTEGERS = (np.int64, np.uint8, np.int32)
FLOATS = (np.float64, np.float32, np.float16)


@pytest.mark.parametrize("integer", INTEGERS)
def test_integers_of_numpy(integer: Callable[[int], Any]) -> None:
    four, three, two, one = map(integer, (4, 3, 2, 1))
    network = DartsNetwork(CNN, four, three, num_classes=two, in_channels=one)
    # As in a checkpoint.
    assert json.loads(json.dumps(network.arguments))["channels"] == 4
    language = DartsRNNNetwork(RNN, four, embedding=three, hidden=three)
    assert json.loads(json.dumps(language.arguments))["vocabulary"] == 4
    DartsCNN(four, three, num_nodes=one)
    DartsRNN(four, three, three, num_nodes=two)
    data = TrainingData("digits", batch_size=four, seed=one, cutout=two, run_seed=three)
    assert type(data.batch_size) is type(data.seed) is type(data.cutout) is int
    assert TextTrainingData("alice", batch_size=four, bptt=two).bptt == 2
    assert UnrolledDARTS(warmup_epochs=two, log_prob_every_n_step=one).warmup_epochs == 2
    assert draw(two, three, num_nodes=one) == draw(2, 3, num_nodes=1)
    assert derive(ALPHAS, PRIMITIVES, two) == derive(ALPHAS, PRIMITIVES, 2)
    assert len(top_k({"normal": ALPHAS, "reduce": ALPHAS}, PRIMITIVES, three)) == 3
    assert network_size.multiply_adds(network.eval(), integer(8), one) > 0


@pytest.mark.parametrize("number", [*FLOATS, *INTEGERS])
def test_numbers_of_numpy(number: Callable[[float], Any]) -> None:
    none, one = number(0), number(1)
    strategy = UnrolledDARTS(
        arc_learning_rate=one,
        arc_weight_decay=none,
        arc_betas=(none, none),
        gradient_clip_val=one,
        virtual_clip=one,
    )
    assert strategy.arc_learning_rate == 1.0
    assert "np." not in repr(strategy)
    assert DartsNetwork(CNN, 4, 3, drop_path=none).drop_path == 0
    assert TrainingData("digits", val_share=none).val_share == 0
    network = DartsRNNNetwork(RNN, 4, 4, 4, dropout_out=none)
    assert json.loads(json.dumps(network.arguments))["dropout_out"] == 0
    assert step(clip=one)


def test_truths_of_numpy() -> None:
    assert UnrolledDARTS(fused=np.False_).fused is False
    assert DartsNetwork(CNN, 4, 3, auxiliary=np.True_).arguments["auxiliary"] is True


def test_large_learning_rates_have_no_bound() -> None:
    assert UnrolledDARTS(arc_learning_rate=1e300).arc_learning_rate == 1e300


@pytest.mark.parametrize("warmup", [2, 3])
def test_a_warm_up_without_end(warmup: int, message: Callable[..., str]) -> None:
    strategy = UnrolledDARTS(warmup_epochs=warmup)
    text = message(ValueError, spaces.search, spaces.Plain(), strategy, max_epochs=2)
    assert text.startswith("warmup_epochs must be below the 2 epochs of the search")


class Cost(ExpressionProfiler):
    def __init__(self) -> None:
        self.expression = 1.0


PROFILER = Cost()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"profiler": PROFILER}, "penalty lacks baseline"),
        ({"profiler": PROFILER, "baselin": 1}, "did you mean 'baseline'"),
        ({"profiler": PROFILER, "baseline": 0}, "penalty: baseline must be a number other than 0"),
        ({"profiler": PROFILER, "baseline": "1"}, "penalty: baseline must be a number"),
        ({"profiler": PROFILER, "baseline": 1, "scale": NAN}, "penalty: scale must be a number"),
        ({"profiler": PROFILER, "baseline": 1, "nonlinear": "relu"}, "penalty: nonlinear"),
        ({"profiler": PROFILER, "baseline": 1, "aggregate": None}, "penalty: aggregate"),
        ({"profiler": 5, "baseline": 1}, "penalty: profiler must be an expression profiler"),
    ],
)
def test_penalties(arguments: dict[str, Any], expected: str, message: Callable[..., str]) -> None:
    assert expected in message((ValueError, TypeError), UnrolledDARTS, penalty=arguments)
