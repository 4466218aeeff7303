"""One search step, architecture and weights: time, memory and kernels of ours, NNI's and others'.

    python benchmarks/step.py --darts-repo PATH --pt-darts-repo PATH

Memory and kernels: each variant in a process of its own. Time: all in one process, a step of each
in turn, for so many rounds; seconds and ratios are medians over the rounds, in brackets their least
and greatest. Ours and NNI's run in the real trainer, from its hook before a batch to the one after;
loading and the transfer to the device are left out, for everybody (see loader.py).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import Work, cell, command, isolated, peak_megabytes, report

BASES = ("authors_second", "nni_first", "plain_second")
"""What the others are compared with, as far as it is among them."""


def warm_up(work: Work) -> int:
    """Steps that are not measured: the first allocates; on a GPU algorithms are tried out, too."""
    return 5 if work.device == "cuda" else 1


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Stopwatch:
    """Seconds of every step, printed as they come: a run that is cut off leaves what it had."""

    def __init__(self, name: str, device: str, clock: str) -> None:
        self.name = name
        self.device = device
        self.clock = CLOCKS[clock]
        self.seconds: list[float] = []

    def begin(self) -> None:
        self._synchronise()
        self.started = self.clock()

    def end(self) -> None:
        self._synchronise()
        self.seconds.append(self.clock() - self.started)
        print(f"{self.name}: {self.seconds[-1]:.4f} s", file=sys.stderr, flush=True)

    def _synchronise(self) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()


def clock_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: the processor's time, for one thread on a machine that others use, too",
    )


def check_clock(parser: argparse.ArgumentParser, clock: str, work: Work) -> None:
    if clock == "cpu" and (work.device, work.threads) != ("cpu", 1):
        parser.error("--clock cpu tells how long a step takes on the CPU with one thread only")


def timed(
    names: Sequence[str], work: Work, rounds: int, clock: str = "wall"
) -> dict[str, list[float]]:
    """Seconds of every round, of each variant."""
    work.prepare()
    from lockstep import interleaved
    from variants import variants

    every = variants(work)
    watches = {name: Stopwatch(name, work.device, clock) for name in names}
    interleaved({name: every[name] for name in names}, watches, rounds, warm_up(work))
    return {name: watch.seconds[warm_up(work) :] for name, watch in watches.items()}


def weighed(name: str, work: Work) -> dict[str, Any]:
    """Peak memory and kernels of a step of one variant; to be called in a process of its own.

    The memory is what is needed beyond the imports: network, optimisers and the step.
    """
    work.prepare()
    import torch
    from kernels import GpuKernels, KernelCounter
    from lockstep import first_steps
    from variants import variants

    fit = variants(work)[name]
    cuda = work.device == "cuda"
    before = peak_megabytes()
    counter = KernelCounter()
    found: dict[str, Any] = {}

    class Scales:
        """Memory at first, for whoever counts may hold something."""

        step = 0

        def begin(self) -> None:
            self.step += 1
            if self.step == warm_up(work) + 2:
                counter.__enter__()
            elif self.step == warm_up(work) + 3:
                self.gpu = GpuKernels().__enter__()

        def end(self) -> None:
            if self.step == warm_up(work) + 1:
                found["MB"] = peak_megabytes() - before
                found["MB_before"] = before
                if cuda:
                    found["MB"] = torch.cuda.max_memory_allocated() / 2**20
                    found["MB_reserved"] = torch.cuda.max_memory_reserved() / 2**20
            elif self.step == warm_up(work) + 2:
                counter.__exit__(None, None, None)
                found["kernels"] = counter.total
            elif self.step == warm_up(work) + 3:
                self.gpu.__exit__(None, None, None)
                found["gpu_kernels"] = self.gpu.kernels
                found["gpu_launches"] = self.gpu.launches
                found["gpu_busy_seconds"] = self.gpu.busy_seconds
                found["gpu_longest"] = self.gpu.longest

    first_steps(fit, Scales(), warm_up(work) + (3 if cuda else 2))
    return found


def rows(
    seconds: Mapping[str, Sequence[float]], scales: Mapping[str, Mapping[str, float]]
) -> list[dict[str, str]]:
    """The table: a row for each variant."""
    made = []
    for name, own in seconds.items():
        row = {"": name, "s/step": cell(own, 3)}
        bases = [base for base in BASES if base in seconds]
        for base in bases:
            ratios = [a / b for a, b in zip(own, seconds[base], strict=True)]
            row[f"x {base}"] = cell(ratios)
        if name in scales:
            scale = scales[name]
            row["MB"] = f"{scale['MB']:.0f}"
            for base in bases:
                row[f"MB x {base}"] = f"{scale['MB'] / scales[base]['MB']:.2f}"
            for key in ("kernels", "gpu_kernels", "gpu_launches"):
                if key in scale:
                    row[key.replace("_", " ")] = f"{scale[key]:.0f}"
        made.append(row)
    return made


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Work.arguments(parser)
    parser.add_argument("--variants", nargs="+", help="all by default; a wrong one lists them")
    parser.add_argument("--rounds", type=int, default=5)
    clock_argument(parser)
    parser.add_argument("--time-only", action="store_true", help="no memory, no kernels")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    options = parser.parse_args(arguments)
    work = Work.of(options)
    check_clock(parser, options.clock, work)
    work.prepare()
    from variants import variants

    there = variants(work)
    chosen = options.variants or list(there)
    if wrong := [name for name in chosen if name not in there]:
        parser.error(f"--variants: no {', '.join(wrong)} here; there are {', '.join(there)}")
    scales = {}
    for name in [] if options.time_only else chosen:
        scales[name] = isolated(weighed, name, work)
        print(f"{name}: {scales[name]}", file=sys.stderr, flush=True)
    seconds = timed(chosen, work, options.rounds, options.clock)
    results: dict[str, Any] = {
        "work": vars(work),
        "clock": options.clock,
        "checkouts": _checkouts(work),
        "seconds": seconds,
        "scales": scales,
    }
    report(rows(seconds, scales), results, work.device, command("step", arguments), options.json)


def _checkouts(work: Work) -> dict[str, str]:
    from checkouts import commit

    given = {"quark0/darts": work.darts_repo, "khanrc/pt.darts": work.pt_darts_repo}
    return {name: commit(repo) for name, repo in given.items() if repo is not None}


if __name__ == "__main__":
    main(sys.argv[1:])
