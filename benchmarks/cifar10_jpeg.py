"""Does a network learn? DARTS_V2, small, against a linear classifier on CIFAR-10 (JPEG).

The images are CIFAR-10's, re-encoded as JPEG: accuracies are not comparable with published ones.
The pack is not part of this project; give its path:

    CIFAR10_JPEG=../shared/data/cifar10_jpegpack_10k2k.npz python benchmarks/cifar10_jpeg.py
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from nni_darts.genotypes import published
from nni_darts.runs.train import Job, train
from nni_darts.tasks.components import Component
from nni_darts.tasks.images.augmentation import Items
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import DATA_SETS, DataSet
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.images.training_data import TrainingData


class JpegPack:
    """A file of JPEG bodies behind one header, as the README beside it describes it."""

    num_classes = 10

    def __init__(self, root: Path | None) -> None:
        self.path = root or Path(os.environ["CIFAR10_JPEG"])

    def check(self) -> None:
        if not self.path.is_file():
            raise ValueError(f"{self.path} must be a file; set CIFAR10_JPEG to the pack's path")

    check_test = prepare = prepare_test = check

    def load(self) -> tuple[Items, Tensor]:
        return self._part(test=False)

    def load_test(self) -> tuple[Items, Tensor]:
        return self._part(test=True)

    def _part(self, *, test: bool) -> tuple[Items, Tensor]:
        pack = np.load(self.path)
        header, body, offsets = pack["header"].tobytes(), pack["body"].tobytes(), pack["offsets"]
        cut = int(pack["n_train"])
        numbers = range(cut, len(offsets) - 1) if test else range(cut)
        files = (header + body[offsets[i] : offsets[i + 1]] + b"\xff\xd9" for i in numbers)
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
        labels = torch.from_numpy(pack["labels"][numbers.start : numbers.stop].astype(np.int64))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels


def _register() -> None:
    known: Any = DATA_SETS
    known["cifar10_jpeg"] = DataSet(JpegPack, DATA_SETS["cifar10"].transform, 3, 32)


class JpegCifar10Search(BilevelData):
    """The data of a search; images are kept on the device that is trained on."""

    def __init__(self, batch_size: int) -> None:
        _register()
        super().__init__("cifar10_jpeg", batch_size=batch_size, on_device=True)


class JpegCifar10(TrainingData):
    """CIFAR-10 (JPEG), augmented and normalised as CIFAR-10: `--data cifar10_jpeg.JpegCifar10`."""

    def __init__(self, batch_size: int, val_share: float, cutout: int, run_seed: int) -> None:
        _register()
        super().__init__(
            "cifar10_jpeg",
            batch_size=batch_size,
            val_share=val_share,
            cutout=cutout,
            run_seed=run_seed,
        )


def linear_accuracy() -> float:
    """Of logistic regression on the pixels; its penalty chosen on a tenth of the training images.

    The test accuracy is that of the penalty chosen, trained on all training images.
    """
    pack = JpegPack(None)
    (x, y), (x_test, y_test) = (
        (i.flatten(1).numpy() / 255.0, t.numpy()) for i, t in (pack.load(), pack.load_test())
    )
    cut = len(x) * 9 // 10

    def fitted(c: float, until: int) -> LogisticRegression:
        return LogisticRegression(C=c, max_iter=200).fit(x[:until], y[:until])

    best = max((1e-4, 1e-3, 1e-2), key=lambda c: fitted(c, cut).score(x[cut:], y[cut:]))
    return float(fitted(best, len(x)).score(x_test, y_test))


def network_accuracy(epochs: int, channels: int, num_cells: int) -> dict[str, Any]:
    """Of DARTS_V2; see `nni_darts.runs.train.train`."""
    settings = ImageTraining(
        channels=channels,
        num_cells=num_cells,
        epochs=epochs,
        batch_size=64,
        drop_path=0,
        cutout=0,
        val_share=0.1,
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Component(name="cifar10_jpeg.JpegCifar10")
        genotype = published.get("DARTS_V2")
        job = Job(genotype, settings, data, 0, Path(folder), "retrain DARTS_V2")
        return train(job, lambda report: None, tested=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--num-cells", type=int, default=8)
    options = parser.parse_args()
    found = network_accuracy(options.epochs, options.channels, options.num_cells)
    print(
        f"DARTS_V2, C {options.channels}, {options.num_cells} cells, {found['params']:,} "
        f"parameters, {options.epochs} epochs on {found['device']} in {found['seconds']} s: "
        f"test accuracy {found['test_acc']:.2%}"
    )
    print(f"linear classifier: test accuracy {linear_accuracy():.2%}")
