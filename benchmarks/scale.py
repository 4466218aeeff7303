"""How time and memory of a search step grow with channels, cells, image size and batch.

    python benchmarks/scale.py --channels 16 --num-cells 8 --grid batch_size 4 8 16 32

One thing is varied at a time, all else stays at what the options say. Each setting is measured as
step.py does it. Memory per image is the slope over the batch sizes: what each image more needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import Work, cell, command, isolated, report
from step import check_clock, clock_argument, timed, weighed

GRID: dict[str, tuple[int, ...]] = {
    "channels": (4, 8, 16),
    "num_cells": (4, 8, 12),
    "image_size": (16, 32, 48),
    "batch_size": (4, 8, 16),
}


def settings(work: Work, grid: dict[str, tuple[int, ...]]) -> list[Work]:
    """What is measured, each once."""
    varied = [dataclasses.replace(work, **{name: value}) for name in grid for value in grid[name]]
    return list(dict.fromkeys(varied))


def per_image(found: Sequence[tuple[int, float]]) -> tuple[float, float] | None:
    """(what each image needs, what is needed besides), by least squares over (batch size, MB)."""
    if len({size for size, _ in found}) < 2:
        return None
    fit = statistics.linear_regression(*zip(*found, strict=True))
    return fit.slope, fit.intercept


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Work.arguments(parser, channels=8, num_cells=4, batch_size=8)
    parser.add_argument("--variants", nargs="+", default=["plain_second"], help="of step.py")
    parser.add_argument("--rounds", type=int, default=2)
    clock_argument(parser)
    parser.add_argument(
        "--grid",
        nargs="+",
        action="append",
        metavar="NAME VALUE",
        help=f"what to vary, and its values; by default {GRID}",
    )
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    options = parser.parse_args(arguments)
    grid = GRID
    if options.grid:
        if wrong := [name for name, *_ in options.grid if name not in GRID]:
            parser.error(f"--grid: {wrong[0]} cannot be varied, only {', '.join(GRID)}")
        grid = {name: tuple(map(int, values)) for name, *values in options.grid}
    work = Work.of(options)
    check_clock(parser, options.clock, work)
    rows: list[dict[str, str]] = []
    results: list[dict[str, Any]] = []
    for setting in settings(work, grid):
        seconds = isolated(timed, options.variants, setting, options.rounds, options.clock)
        for name, own in seconds.items():
            scales = isolated(weighed, name, setting)
            numbers = {varied: getattr(setting, varied) for varied in GRID}
            results.append({"variant": name, **numbers, "seconds": own, **scales})
            rows.append(
                {
                    "": name,
                    **{varied.replace("_", " "): str(n) for varied, n in numbers.items()},
                    "s/step": cell(own, 3),
                    "ms/image": f"{1000 * statistics.median(own) / setting.batch_size:.0f}",
                    "MB": f"{scales['MB']:.0f}",
                    "kernels": f"{scales['kernels']:.0f}",
                }
            )
            print(results[-1], file=sys.stderr, flush=True)
    made = command("scale", arguments)
    figures = {"work": vars(work), "clock": options.clock, "results": results}
    report(rows, figures, work.device, made, options.json)
    for name in options.variants:
        same = {k: v for k, v in vars(work).items() if k in GRID and k != "batch_size"}
        found = [
            (r["batch_size"], r["MB"])
            for r in results
            if r["variant"] == name and same.items() <= r.items()
        ]
        if (memory := per_image(found)) is not None:
            slope, besides = memory
            print(f"{name}, {same}: {slope:.1f} MB per image, and {besides:.0f} MB besides")


if __name__ == "__main__":
    main(sys.argv[1:])
