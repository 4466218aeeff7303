"""How fast the input pipeline is, beside torchvision's, and which share of a step that is.

    python benchmarks/loader.py [--batch-size 16] [--variant plain_second]

Noise of the size of CIFAR-10 is held in memory; batches for both levels of the search are drawn
from it, augmented and moved to the device. Beside it is what the authors' code does: each image by
itself, as a PIL image, through torchvision's transforms. Pipelines take turns, round by round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from measure import Work, cell, command, isolated, report
from PIL import Image
from step import timed
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from nni_darts.search.loader import BilevelLoader
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import DATA_SETS, DataSet

CIFAR = DATA_SETS["cifar10"]
BASE = "torchvision, 32x32"

READ_AHEAD = 8
"""Batches that workers may have ready when their turn begins; they are not timed."""


class Noise:
    """A data set of 10 classes held in memory: uint8 (N, 3, 32, 32)."""

    num_classes = 10

    def __init__(self, count: int) -> None:
        draws = torch.Generator().manual_seed(0)
        size = (count, 3, CIFAR.image_size, CIFAR.image_size)
        self.pixels = torch.randint(0, 256, size, dtype=torch.uint8, generator=draws)
        self.labels = torch.arange(count) % self.num_classes

    def check(self) -> None: ...

    check_test = prepare = check

    def load(self) -> tuple[Tensor, Tensor]:
        return self.pixels, self.labels

    load_test = load


class PerImage(Dataset[Any]):
    """The noise, transformed image by image as in cnn/train_search.py of quark0/darts."""

    transform = transforms.Compose(
        [
            transforms.RandomCrop(CIFAR.image_size, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(CIFAR.transform.mean, CIFAR.transform.std),
        ]
    )

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def ours(data: BilevelData, device: str) -> BilevelLoader:
    # All that the data asks its trainer for.
    place = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(strategy=place)
    data.prepare_data()
    data.setup()
    return BilevelLoader(data.train_dataloader(), data.alpha_dataloader(), lambda: None)


def noise_data(noise: Noise, batch_size: int, **options: bool) -> BilevelData:
    data_set = DataSet(lambda root: noise, CIFAR.transform, CIFAR.in_channels, CIFAR.image_size)
    with mock.patch.dict(DATA_SETS, noise=data_set):
        return BilevelData("noise", batch_size=batch_size, **options)


def per_image(noise: Noise, batch_size: int, num_workers: int) -> BilevelLoader:
    train, val = (
        DataLoader(
            PerImage(noise.pixels[half::2], noise.labels[half::2]),
            batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=num_workers,
        )
        for half in (0, 1)
    )
    return BilevelLoader(train, val, lambda: None)


def pipelines(work: Work, images: int) -> dict[str, Callable[[], BilevelLoader]]:
    """By name, what makes the loader of a search."""
    noise, size, device = Noise(images), work.batch_size, work.device
    made: dict[str, Callable[[], BilevelLoader]] = {
        "ours, digits 8x8": partial(ours, BilevelData("digits", batch_size=size), device),
        "ours, 32x32": partial(ours, noise_data(noise, size), device),
        BASE: partial(per_image, noise, size, 0),
        f"{BASE}, 2 workers": partial(per_image, noise, size, 2),
    }
    if device == "cuda":
        resident = noise_data(noise, size, on_device=True)
        made["ours, 32x32, on the device"] = partial(ours, resident, device)
    return made


def raced(work: Work, images: int, batches: int, rounds: int) -> dict[str, list[float]]:
    """Seconds for each pair of batches, in every round, of each pipeline."""
    work.prepare()
    made = pipelines(work, images)
    sources = {name: _endless(make()) for name, make in made.items()}
    found: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(rounds):
        for name, source in sources.items():
            _take(source, READ_AHEAD, work.device)
            found[name].append(_take(source, batches, work.device) / batches)
    return found


def _endless(loader: BilevelLoader) -> Iterator[Any]:
    while True:
        yield from loader


def _take(source: Iterator[Any], count: int, device: str) -> float:
    """Seconds that it takes to have so many pairs of batches on the device."""
    start = time.perf_counter()
    for _ in range(count):
        for half in next(source).values():
            for part in half:
                part.to(device)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rows(
    batch_size: int, seconds: Mapping[str, Sequence[float]], step: float | None
) -> list[dict[str, str]]:
    """The table; images are those for w and those for alpha."""
    made = []
    for name, own in seconds.items():
        row = {
            "": name,
            "images/s": cell([2 * batch_size / s for s in own], 0),
            "ms/step": cell([1000 * s for s in own]),
            "x torchvision": "-",
            "share of a step": "-",
        }
        if "32x32" in name:
            row["x torchvision"] = cell([a / b for a, b in zip(own, seconds[BASE], strict=True)])
            if step is not None:
                row["share of a step"] = f"{100 * statistics.median(own) / step:.2f} %"
        made.append(row)
    return made


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Work.arguments(parser, "channels", "num_cells", "batch_size", "threads", "device", "precision")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batches", type=int, default=100, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variant", help="of step.py, to tell the share of a step")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    options = parser.parse_args(arguments)
    work = Work.of(options)
    seconds = raced(work, options.images, options.batches, options.rounds)
    step = None
    if options.variant is not None:
        step = statistics.median(isolated(timed, [options.variant], work, 2)[options.variant])
    results = {"work": vars(work), "seconds": seconds, "step": step}
    made = command("loader", arguments)
    table = rows(work.batch_size, seconds, step)
    report(table, results, work.device, made, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
