"""What each method costs beside first-order softmax, on one supernet, fused and plain, in one run.

    python benchmarks/methods.py [--channels 16] [--num-cells 8] [--batch-size 16] [--rounds 10]

A step is that of the real trainer, the architect and then the weights (see step.py, which measures
time and memory). Time: all in one process, a step of each in turn; ratios are of the same round,
their medians over the rounds, in brackets the least and greatest. A step of GDAS differs with what
is drawn: its memory is the most of several steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import Work, cell, command, isolated, peak_megabytes, report
from step import check_clock, clock_argument, timed, warm_up

SOFTMAX = "first"
MEASURED_STEPS = 4
"""Steps of which the most memory counts."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Work.arguments(
        parser,
        *("channels", "num_cells", "batch_size", "image_size", "threads", "device", "precision"),
    )
    parser.add_argument("--methods", nargs="+", help="all by default; a wrong one lists them")
    parser.add_argument("--rounds", type=int, default=10)
    clock_argument(parser)
    parser.add_argument("--time-only", action="store_true", help="no memory")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    options = parser.parse_args(arguments)
    work = Work.of(options)
    check_clock(parser, options.clock, work)
    work.prepare()
    from variants import METHODS

    chosen = options.methods or list(METHODS)
    if wrong := [name for name in chosen if name not in METHODS]:
        parser.error(f"--methods: no {', '.join(wrong)}; there are {', '.join(METHODS)}")
    names = [f"{whose}_{name}" for whose in ("ours", "plain") for name in (SOFTMAX, *chosen)]
    megabytes: dict[str, float] = {}
    for name in [] if options.time_only else names:
        megabytes[name] = isolated(memory, name, work)
        print(f"{name}: {megabytes[name]:.0f} MB", file=sys.stderr, flush=True)
    seconds = timed(names, work, options.rounds, options.clock)
    results = {"work": vars(work), "clock": options.clock, "seconds": seconds, "MB": megabytes}
    made = command("methods", arguments)
    report(rows(seconds, megabytes), results, work.device, made, options.json)


def memory(name: str, work: Work) -> float:
    """Peak memory of some steps beyond the imports; to be called in a process of its own."""
    work.prepare()
    import torch
    from lockstep import first_steps
    from variants import variants

    fit = variants(work)[name]
    before = peak_megabytes()

    class Unseen:
        def begin(self) -> None: ...

        def end(self) -> None: ...

    first_steps(fit, Unseen(), warm_up(work) + MEASURED_STEPS)
    if work.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_megabytes() - before


def rows(
    seconds: Mapping[str, Sequence[float]], megabytes: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The table: a row for each method, fused and plain, beside softmax of the same sort."""
    made = []
    for name, own in seconds.items():
        base = f"{name.partition('_')[0]}_{SOFTMAX}"
        ratios = [a / b for a, b in zip(own, seconds[base], strict=True)]
        row = {"": name, "s/step": cell(own, 3), "x softmax": cell(ratios)}
        if name in megabytes:
            row["MB"] = f"{megabytes[name]:.0f}"
            row["MB x softmax"] = f"{megabytes[name] / megabytes[base]:.2f}"
        made.append(row)
    return made


if __name__ == "__main__":
    main(sys.argv[1:])
