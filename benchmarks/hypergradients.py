"""What each hypergradient costs and gives: one search step on the supernet, side by side.

    python benchmarks/hypergradients.py [--channels 8] [--num-cells 4] [--batch-size 32]

Each runs in a process of its own, in turn, so that peak memory is its own; seconds are of a whole
step (architect, then weights), without a trainer. The angle is that between the hypergradient and
the exact one, at the same weights, alphas and batches. See step.py for the trainer's step.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import Work, cell, command, isolated, peak_megabytes, report

NAMES = ("first_order", "finite_difference", "exact")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Work.arguments(
        parser,
        *("channels", "num_cells", "batch_size", "image_size", "threads"),
        channels=8,
        num_cells=4,
        batch_size=32,
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    options = parser.parse_args(arguments)
    work = Work.of(options)
    results = {name: isolated(measured, name, work, options.repeats) for name in NAMES}
    first, exact = results["first_order"], results["exact"]
    seconds = {name: statistics.median(r["seconds"]) for name, r in results.items()}
    rows = [
        {
            "": name,
            "s/step": cell(r["seconds"]),
            "x first": f"{seconds[name] / seconds['first_order']:.2f}",
            "MB": f"{r['MB']:.0f}",
            "MB x first": f"{r['MB'] / first['MB']:.2f}",
            "degrees to exact": f"{angle(r['gradient'], exact['gradient']):.0f}",
        }
        for name, r in results.items()
    ]
    made = command("hypergradients", arguments)
    report(rows, {"work": vars(work), "results": results}, work.device, made, options.json)


def measured(name: str, work: Work, repeats: int) -> dict[str, Any]:
    work.prepare()
    import torch
    from peers import batch
    from torch import nn

    from nni_darts import UnrolledDARTS
    from nni_darts.search.bilevel_step import BilevelStep
    from nni_darts.search.parts import HYPERGRADIENTS
    from search_spaces import DartsCNN

    torch.manual_seed(0)
    net = UnrolledDARTS().mutate_model(DartsCNN(work.channels, work.num_cells))
    named = dict(net.named_parameters())
    alphas = [p for n, p in named.items() if n.endswith("_arch_alpha")]
    weights = [p for n, p in named.items() if not n.endswith("_arch_alpha")]
    sgd = torch.optim.SGD(weights, 0.025, 0.9, weight_decay=3e-4)
    train, val = batch(work, 0), batch(work, 1)

    def loss(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(net(images), labels)

    step = BilevelStep(lambda: loss(*train), lambda: loss(*val), weights, alphas, sgd, [net])

    def hypergradient() -> Any:
        return HYPERGRADIENTS[name]()(step)

    before = peak_megabytes()
    gradient = torch.cat([g.reshape(-1) for g in hypergradient()]).tolist()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        hypergradient()
        sgd.zero_grad()
        loss(*train).backward()
        sgd.step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "MB": peak_megabytes() - before, "gradient": gradient}


def angle(a: Sequence[float], b: Sequence[float]) -> float:
    """Between two vectors, in degrees."""
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return math.degrees(math.acos(max(-1, min(1, product / math.hypot(*a) / math.hypot(*b)))))


if __name__ == "__main__":
    main(sys.argv[1:])
