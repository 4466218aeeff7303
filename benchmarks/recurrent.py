"""One search step of the recurrent space against the same step on `torch.nn.LSTM`, side by side.

    python benchmarks/recurrent.py [--batch-size 256] [--bptt 35] [--hidden 300] [--json FILE]

The yardstick is the same language model with an LSTM of equal hidden size in the cell's place, and
one alpha, a factor of its logits, so that the same functions run on it. Steps:

    search          the architect (finite difference, clipped virtual step), then the weights
    first order     the architect of first order, then the weights
    training        the weights alone

`by edge` is the supernet as NNI would run it, every operation of every edge by itself; `network` is
the discrete network of a published genotype. All take turns in one process; a ratio is the median
over the rounds of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.genotypes import published
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.hypergradient import FiniteDifference, FirstOrder, Hypergradient
from nni_darts.training.network_size import multiply_adds_per_word
from search_spaces import DartsRNN, DartsRNNNetwork
from search_spaces.cell_space import CellSpace
from search_spaces.darts_rnn_network import LanguageModel, Output

CLIP = 0.25
DROPOUTS = {"dropout_out": 0.75, "dropout_h": 0.25, "dropout_x": 0.75, "dropout_i": 0.2}


class ByEdge(DartsRNN):
    extra_oneshot_hooks = staticmethod(CellSpace.extra_oneshot_hooks)


class LSTM(LanguageModel):
    """The frame of our language models around torch's LSTM, which has no dropout of its own."""

    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        sizes = {"vocabulary": vocabulary, "embedding": hidden, "hidden": hidden}
        self.build([], [0], nn.Identity(), **sizes, **DROPOUTS, dropout_e=0.0)
        self.cell = Cell(hidden)
        self.alpha = nn.Parameter(torch.ones(()))

    def forward(self, tokens: Tensor, state: Tensor) -> Output:
        found = super().forward(tokens, state)
        return found._replace(logits=self.alpha * found.logits)


class Cell(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(hidden, hidden)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.lstm(x, (h[None], torch.zeros_like(h)[None]))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--bptt", type=int, default=35)
    parser.add_argument("--hidden", type=int, default=300)
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--genotype", default="RNN_DARTS_V2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write all that was measured here")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    models = make(options)
    steps = {
        (name, step): run
        for name, model in models.items()
        for step, run in make_steps(model, options).items()
    }
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for i in range(options.rounds + 1):
        for key, run in steps.items():
            elapsed = timed(run, options.device)
            if i:  # the first round warms up
                seconds[key].append(elapsed)
    rows = [
        {
            "model": name,
            "step": step,
            "seconds": statistics.median(found),
            "ratio": statistics.median(
                a / b for a, b in zip(found, seconds["lstm", step], strict=True)
            ),
            "all": found,
        }
        for (name, step), found in seconds.items()
    ]
    work = {name: multiply_adds_per_word(model) for name, model in models.items()}
    print(f"{'':<10} {'step':<12} {'s':>8} {'x LSTM':>8} {'multiply-adds a word, x LSTM':>30}")
    for row in rows:
        print(
            f"{row['model']:<10} {row['step']:<12} {row['seconds']:>8.3f} {row['ratio']:>8.2f} "
            f"{work[row['model']] / work['lstm']:>30.2f}"
        )
    if options.json is not None:
        settings = {k: v if isinstance(v, int) else str(v) for k, v in vars(options).items()}
        found = {"settings": settings, "multiply_adds": work, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1))


def make(options: argparse.Namespace) -> dict[str, Any]:
    sizes = (options.vocabulary, options.hidden, options.hidden)
    network = DartsRNNNetwork(published.get(options.genotype), *sizes, **DROPOUTS, dropout_e=0.0)
    models = {
        "lstm": LSTM(options.vocabulary, options.hidden),
        "supernet": UnrolledDARTS().mutate_model(DartsRNN(*sizes, **DROPOUTS)),
        "by edge": UnrolledDARTS().mutate_model(ByEdge(*sizes, **DROPOUTS)),
        "network": network,
    }
    return {name: model.to(options.device).train() for name, model in models.items()}


def make_steps(model: Any, options: argparse.Namespace) -> dict[str, Callable[[], None]]:
    named = dict(model.named_parameters())
    alphas = [p for n, p in named.items() if n.rpartition(".")[2] in ("_arch_alpha", "alpha")]
    weights = [p for p in named.values() if all(p is not a for a in alphas)]
    # A small step: the data is noise, which is not learnt here.
    sgd = torch.optim.SGD(weights, 0.1, weight_decay=5e-7)
    size = (options.bptt + 1, options.batch_size)
    train, val = (torch.randint(options.vocabulary, size, device=options.device) for _ in range(2))
    state = model.initial_state(options.batch_size)

    def loss(batch: Tensor) -> Tensor:
        found = model(batch[:-1], state)
        logits = found.logits.flatten(0, 1)
        slowness = (found.raw[1:] - found.raw[:-1]).pow(2).mean()
        return nn.functional.cross_entropy(logits, batch[1:].flatten()) + 1e-3 * slowness

    def training() -> None:
        sgd.zero_grad()
        loss(train).backward()
        nn.utils.clip_grad_norm_(weights, CLIP)
        sgd.step()

    def search(architect: Hypergradient) -> Callable[[], None]:
        def step() -> None:
            architect(
                BilevelStep(lambda: loss(train), lambda: loss(val), weights, alphas, sgd, [model])
            )
            training()

        return step

    if not alphas:
        return {"training": training}
    return {
        "search": search(FiniteDifference(CLIP)),
        "first order": search(FirstOrder()),
        "training": training,
    }


def timed(run: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
