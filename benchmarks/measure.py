"""What the benchmarks share: what is measured on, peak memory, processes, tables, JSON."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import shlex
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

# torch is imported where it is used: OMP_NUM_THREADS must be set before, and a process that is to
# report its own memory should start small.

T = TypeVar("T")
PRECISIONS = ("float32", "tf32", "bf16")


@dataclasses.dataclass(frozen=True)
class Work:
    """What one step works on: the same for every variant.

    Args:
        channels: of the first cell, even.
        num_cells: at least 3.
        image_size: side in pixels.
        batch_size: for w, and as many again for alpha.
        threads: of the CPU.
        device: "cpu" or "cuda".
        precision: one of `PRECISIONS`.
        darts_repo: a checkout of quark0/darts.
        pt_darts_repo: a checkout of khanrc/pt.darts.
    """

    channels: int = 16
    num_cells: int = 8
    image_size: int = 32
    batch_size: int = 16
    threads: int = 1
    device: str = "cpu"
    precision: str = "float32"
    darts_repo: Path | None = None
    pt_darts_repo: Path | None = None

    @classmethod
    def arguments(cls, parser: argparse.ArgumentParser, *names: str, **defaults: Any) -> None:
        """Add those of the fields, or all, to a command line; some with a default of its own."""
        for field in dataclasses.fields(cls):
            if names and field.name not in names:
                continue
            kind = Path if field.name.endswith("repo") else type(field.default)
            choices = {"precision": PRECISIONS, "device": ("cpu", "cuda")}.get(field.name)
            parser.add_argument(
                "--" + field.name.replace("_", "-"),
                type=kind,
                default=defaults.get(field.name, field.default),
                choices=choices,
            )

    @classmethod
    def of(cls, options: argparse.Namespace) -> Work:
        given = vars(options)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: given[name] for name in names if name in given})

    def prepare(self) -> None:
        """Make torch work so, in this process."""
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        warnings.filterwarnings("ignore")
        import torch

        torch.set_num_threads(self.threads)
        # torch itself lets convolutions use TF32.
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")


def isolated(function: Callable[..., T], *args: Any) -> T:
    """The result of a call in a process of its own, so that peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1, warnings.filterwarnings, ("ignore",)) as pool:
        return pool.apply(function, args)


def peak_megabytes() -> float:
    """Most memory (2**20 bytes) that this process has held in RAM so far."""
    try:
        # Unlike ru_maxrss, not inherited from the process that started this one.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def cell(values: Sequence[float], digits: int = 2) -> str:
    """Median of what was measured, and between what it lay: `0.36 (0.35-0.38)`."""
    median = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """In Markdown; the columns are those of the first row."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "| " + " | ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    return "\n".join([text[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *text[1:]])


def machine(device: str = "cpu") -> str:
    """Processor and memory, and the GPU if it is what was used."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB"
    if device == "cuda":
        import torch

        text += f"; {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return text


def versions() -> dict[str, str]:
    packages = ("torch", "pytorch-lightning", "nni", "torchvision")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **found}


def report(
    rows: Sequence[Mapping[str, str]],
    results: Mapping[str, Any],
    device: str,
    command: str,
    path: Path | None,
) -> None:
    """Print the table with all that it takes to read it; write that and the results as JSON."""
    about = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": machine(device),
        "versions": versions(),
    }
    print(table(rows))
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    print(f"\n{about['machine']}; {named}; {about['date']}\n    {command}")
    if path is not None:
        path.write_text(json.dumps({**about, **results}, indent=1, default=str) + "\n")


def command(name: str, arguments: Sequence[str]) -> str:
    return f"python benchmarks/{name}.py {shlex.join(arguments)}".strip()
