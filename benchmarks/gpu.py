r"""All that is measured on a GPU, part by part; each part writes its JSON at once.

    python benchmarks/gpu.py --out FOLDER --part tests --part step --part floors --part search \
        --part scale --darts-repo PATH --pt-darts-repo PATH --cifar PATH

`gpu_report.py FOLDER` makes the tables. `--device cpu --tiny` tries everything out where there is
no GPU. A part that fails leaves its error in its JSON, and the next one runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from measure import PRECISIONS, Work, command, isolated, machine, versions

Figures = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The size of everything.

    Args:
        work: the paper's size, or a tiny one.
        rounds: of timed steps.
        epochs: of the search.
        tiny: whether it is only tried out.
        cifar: a pack of CIFAR-10 (JPEG); digits without it, and where it is only tried out.
        variants: those of step.py that are measured; all by default.
        precisions: of `step` and `floors`.
    """

    work: Work
    rounds: int
    epochs: int
    tiny: bool
    cifar: Path | None
    variants: tuple[str, ...]
    precisions: tuple[str, ...]


def tests(plan: Plan) -> Figures:
    """What is marked `gpu`, by pytest."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"),
                *("--override-ini=addopts=", f"--junitxml={report}", "tests"),
            ],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        cases = list(ET.parse(report).getroot().iter("testcase")) if report.exists() else []
    outcomes: dict[str, str] = {}
    for case in cases:
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        outcomes[f"{case.get('classname')}::{case.get('name')}"] = (kinds or ["passed"])[0]
    return {"status": run.returncode, "outcomes": outcomes, "output": run.stdout[-20_000:]}


SHORT = (
    *("authors_second", "nni_first", "plain_second", "plain_channels_last_second"),
    *("ours_second", "ours_first", "graphs_second", "graphs_first", "graphs_exact"),
)
"""Variants that are measured in every precision; in float32 there are all."""


def step(plan: Plan) -> Figures:
    """Time, memory and kernels of a step, by variant and precision."""
    from step import timed, weighed

    found: Figures = {}
    cuda = plan.work.device == "cuda"
    for precision in plan.precisions:
        work = dataclasses.replace(plan.work, precision=precision)
        names = [n for n in _names(plan) if precision == "float32" or n in SHORT or plan.variants]
        own: Figures = {"seconds": isolated(timed, names, work, plan.rounds)}
        # Memory is counted by process, so that several may share the GPU; nothing is timed here.
        with ProcessPoolExecutor(6 if cuda else 1, mp_context=get_context("spawn")) as pool:
            scales = {name: pool.submit(weighed, name, work) for name in names}
            own["scales"] = {name: future.result() for name, future in scales.items()}
        found[precision] = own
    return found


def _names(plan: Plan) -> list[str]:
    # Only names: in a process of its own, so that nothing of it weighs on what is measured.
    there: list[str] = isolated(_there, plan.work)
    wrong = [name for name in plan.variants if name not in there]
    if wrong:
        raise ValueError(f"no variants {', '.join(wrong)} here; there are {', '.join(there)}")
    return list(plan.variants) or there


def _there(work: Work) -> list[str]:
    work.prepare()
    from variants import variants

    return list(variants(work))


def floors(plan: Plan) -> Figures:
    """Bytes and operations of a step, and what the device can do of each in a second."""
    found: Figures = {}
    for precision in plan.precisions:
        work = dataclasses.replace(plan.work, precision=precision)
        names = [name for name in _names(plan) if not name.startswith(("graphs", "pt_darts"))]
        own: Figures = isolated(_ceilings, work, plan.tiny)
        own["traffic"] = {name: isolated(_traffic, name, work) for name in names}
        found[precision] = own
    return found


def _ceilings(work: Work, tiny: bool) -> dict[str, float]:
    work.prepare()
    from floors import copy_bandwidth, product_rate

    size = 2**20 if tiny else 2**30
    return {
        "bytes_per_second": copy_bandwidth(work.device, size),
        "flop_per_second": product_rate(work.device, 256 if tiny else 8192, work.precision),
    }


def _traffic(name: str, work: Work) -> dict[str, float]:
    work.prepare()
    from floors import traffic
    from variants import variants

    return traffic(variants(work)[name])


def search(plan: Plan) -> Figures:
    """Epochs of the paper's search: seconds, accuracies and the derived cells of each."""
    found: Figures = {}
    for name in ("graphs",) if plan.work.device == "cuda" else ("usual",):
        found[name] = isolated(_search, plan, name == "graphs")
    return found


def _search(plan: Plan, cuda_graphs: bool) -> Figures:
    plan.work.prepare()
    from nni_darts.runs.stages import search as stage
    from nni_darts.tasks.registry import parse_run

    data: dict[str, Any] = {"name": "digits"}
    if plan.cifar is not None and not plan.tiny:
        os.environ["CIFAR10_JPEG"] = str(plan.cifar.resolve())
        data = {"name": "cifar10_jpeg.JpegCifar10Search"}
    size = {"channels": plan.work.channels, "num_cells": plan.work.num_cells}
    settings = {
        "seeds": [0],
        # The learning rate falls as in the whole search; it ends after the epochs that are wanted.
        "epochs": 50,
        "batch_size": 64,
        "cuda_graphs": cuda_graphs,
        "cpu_threads": plan.work.threads,
    }
    run = parse_run(
        {
            **{"stage": "search", "seed": 0, "data": data, "search": settings},
            "space": {"name": "DartsCNN", **size},
        }
    )
    epochs: list[Figures] = []
    started = last = time.perf_counter()

    class Enough(Exception):
        pass

    def send(report: Figures) -> None:
        nonlocal last
        now = time.perf_counter()
        genotypes = json.loads((Path(folder) / "genotypes.json").read_text())
        keep = ("default", "train_acc", "val_loss", "train_loss", "entropy")
        figures = {name: report[name] for name in keep if name in report}
        epochs.append({"seconds": now - last, **figures, "genotypes": genotypes})
        last = now
        print(f"epoch {len(epochs) - 1}: {epochs[-1]['seconds']:.1f} s, {figures}", flush=True)
        if len(epochs) == plan.epochs:
            raise Enough

    with tempfile.TemporaryDirectory() as folder:
        with suppress(Enough):
            stage(run, Path(folder), send)
    return {
        "run": json.loads(run.model_dump_json()),
        "epochs": epochs,
        "seconds": time.perf_counter() - started,
    }


def scale(plan: Plan) -> Figures:
    """Time and memory of a step over the batch size, with and without recomputed cells."""
    from step import timed, weighed

    names = ["ours_second", "recompute_second"]
    if plan.work.device == "cuda":
        names.insert(1, "graphs_second")
    rows = []
    for batch_size in (4, 8) if plan.tiny else (64, 128, 256):
        work = dataclasses.replace(plan.work, batch_size=batch_size)
        seconds = isolated(timed, names, work, plan.rounds)
        for name in names:
            scales = isolated(weighed, name, work)
            rows.append({"variant": name, "batch_size": batch_size, "seconds": seconds[name]})
            rows[-1] |= scales
    return {"rows": rows}


PARTS: Mapping[str, Callable[[Plan], Figures]] = {
    "tests": tests,
    "step": step,
    "floors": floors,
    "search": search,
    "scale": scale,
}


def measured(name: str, plan: Plan, made: str) -> Figures:
    """A part's figures with all that it takes to read them; its error if it fails."""
    started = time.perf_counter()
    figures: Figures = {
        "part": name,
        "command": made,
        "date": datetime.date.today().isoformat(),
        "machine": isolated(machine, plan.work.device),
        "driver": driver(),
        "versions": versions(),
        "work": vars(plan.work),
        "tiny": plan.tiny,
    }
    try:
        figures["figures"] = PARTS[name](plan)
    except Exception:
        figures["error"] = traceback.format_exc()
    figures["part_seconds"] = time.perf_counter() - started
    return figures


def driver() -> str | None:
    """Version of the GPU's driver; None where nobody knows."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        run = subprocess.run(ask, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip().splitlines()[0]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Work.arguments(parser, device="cuda", batch_size=64, threads=4)
    parser.add_argument("--part", action="append", choices=PARTS, help="all by default")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the JSON files")
    parser.add_argument("--variants", nargs="+", default=(), help="of step.py; all by default")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5, help="of the search")
    parser.add_argument("--cifar", type=Path, help="a pack of CIFAR-10 (JPEG) to search on")
    parser.add_argument("--tiny", action="store_true", help="only try everything out")
    options = parser.parse_args(arguments)
    work = Work.of(options)
    if options.tiny:
        tiny = {"channels": 4, "num_cells": 3, "image_size": 16, "batch_size": 4, "threads": 1}
        work = dataclasses.replace(work, **tiny)
    plan = Plan(
        work,
        2 if options.tiny else options.rounds,
        1 if options.tiny else options.epochs,
        options.tiny,
        options.cifar,
        tuple(options.variants),
        tuple(options.precisions),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in options.part or PARTS:
        figures = measured(name, plan, command("gpu", arguments))
        text = json.dumps(figures, indent=1, default=str)
        (options.out / f"{name}.json").write_text(text + "\n")
        outcome = figures.get("error", "done").strip().splitlines()[-1]
        print(f"{name}: {outcome} after {figures['part_seconds']:.0f} s", flush=True)
        failed += "error" in figures
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
