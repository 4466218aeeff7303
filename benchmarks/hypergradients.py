"""What each hypergradient costs and gives: one search step on the supernet, side by side.

    python benchmarks/hypergradients.py [--channels 8] [--num-cells 4] [--batch-size 32]

Each variant runs in a process of its own, in turn, so that peak memory is its own; seconds are
medians over the repeats of a whole step (architect, then weights). The angle is that between the
hypergradient and the exact one, at the same weights, alphas and batches.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
import warnings
from typing import Any

VARIANTS = ("first_order", "finite_difference", "exact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--num-cells", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args())
    os.environ["OMP_NUM_THREADS"] = str(options["threads"])
    spawn = multiprocessing.get_context("spawn")
    results = {}
    for name in VARIANTS:
        with spawn.Pool(1) as pool:
            results[name] = pool.apply(measure, (name, options))
    base = results["first_order"]
    print(json.dumps(options))
    print(
        f"{'':<18} {'s/step':>7} {'x first':>8} {'MB':>6} {'x first':>8} {'degrees to exact':>17}"
    )
    for name, r in results.items():
        print(
            f"{name:<18} {r['seconds']:>7.2f} {r['seconds'] / base['seconds']:>8.2f} "
            f"{r['peak']:>6.0f} {r['peak'] / base['peak']:>8.2f} "
            f"{angle(r['gradient'], results['exact']['gradient']):>17.0f}"
        )


def measure(name: str, options: dict[str, Any]) -> dict[str, Any]:
    warnings.filterwarnings("ignore")
    import torch
    from torch import nn

    from nni_darts import UnrolledDARTS
    from nni_darts.architect import HYPERGRADIENTS
    from search_spaces import DartsCNN

    torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    strategy = UnrolledDARTS()
    net = strategy.mutate_model(DartsCNN(options["channels"], options["num_cells"]))
    named = dict(net.named_parameters())
    alphas = [p for n, p in named.items() if n.endswith("_arch_alpha")]
    weights = [p for n, p in named.items() if not n.endswith("_arch_alpha")]
    sgd = torch.optim.SGD(weights, 0.025, 0.9, weight_decay=3e-4)
    size = options["image_size"]
    train, val = (
        (
            torch.randn(options["batch_size"], 3, size, size),
            torch.randint(0, 10, (options["batch_size"],)),
        )
        for _ in range(2)
    )

    def loss(batch: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(net(batch[0]), batch[1])

    def hypergradient() -> tuple[torch.Tensor, ...]:
        return HYPERGRADIENTS[name](
            lambda: loss(train), lambda: loss(val), weights, alphas, sgd, [net]
        )

    before = peak_megabytes()
    gradient = torch.cat([g.reshape(-1) for g in hypergradient()]).tolist()
    seconds = []
    for _ in range(options["repeats"]):
        start = time.perf_counter()
        hypergradient()
        sgd.zero_grad()
        loss(train).backward()
        sgd.step()
        seconds.append(time.perf_counter() - start)
    peak = peak_megabytes() - before
    return {"seconds": statistics.median(seconds), "peak": peak, "gradient": gradient}


def peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def angle(a: list[float], b: list[float]) -> float:
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return math.degrees(math.acos(max(-1, min(1, product / math.hypot(*a) / math.hypot(*b)))))


if __name__ == "__main__":
    main()
