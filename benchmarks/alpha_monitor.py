"""What the alpha page costs: the assessor's share of a core, and the page's size.

Plays an experiment of many searches, all at once, and counts the processor's time.

    python benchmarks/alpha_monitor.py
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

from nni_darts._common.metric import ACCURACY
from nni_darts.genotypes.cell import PRIMITIVES
from nni_darts.history.flat import to_flat
from nni_darts.history.record import EpochRecord


def reports(seed: int, epochs: int) -> list[dict[str, object]]:
    """Of a search in the space of the paper, with weights that mean nothing."""
    chance = random.Random(seed)
    made: list[dict[str, object]] = []
    for epoch in range(epochs):
        weights = {}
        for kind in ("normal", "reduce"):
            for node in range(2, 6):
                for source in range(node):
                    row = [chance.random() for _ in PRIMITIVES]
                    total = sum(row)
                    named = zip(PRIMITIVES, row, strict=True)
                    weights[f"{kind}_{node}_{source}"] = {o: w / total for o, w in named}
        metrics = {"val_acc": 0.5, "val_loss": 1.0, "train_loss": 1.0, "train_acc": 0.5}
        record = EpochRecord.of_search(epoch, ACCURACY, metrics, weights)
        made.append({**to_flat(record), "key": f"search-{seed}"})
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=50)
    options = parser.parse_args()
    histories = [reports(seed, options.epochs) for seed in range(options.trials)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "experiment" / "log"
        log.mkdir(parents=True)
        os.environ["NNI_LOG_DIRECTORY"] = str(log)
        from nni_darts.assessor import AlphaMonitor

        monitor = AlphaMonitor()
        start = time.process_time()
        for epoch in range(options.epochs):
            for number, history in enumerate(histories):
                # NNI hands the whole history over, every time.
                monitor.assess_trial(f"trial{number}", history[: epoch + 1])
        spent = time.process_time() - start
        size = sum(path.stat().st_size for path in log.rglob("*.json"))
    count = options.trials * options.epochs
    print(
        f"{options.trials} searches of {options.epochs} epochs: {spent:.1f} s of one core, "
        f"{1000 * spent / count:.1f} ms per epoch of a search; data {size / 1e6:.2f} MB. "
        f"Under 1 % of a core where all searches together report less than "
        f"{0.01 * count / spent:.1f} epochs a second"
    )
