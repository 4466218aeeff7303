"""Small model spaces and a short way to search them."""

from __future__ import annotations

from typing import Any

import nni
import torch
from nni.nas.evaluator.pytorch import Lightning, LightningModule, Trainer
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.nn.pytorch import (
    Cell,
    InputChoice,
    LayerChoice,
    ModelSpace,
    MutableConv2d,
    Repeat,
)
from nni.nas.space import RawFormatModelSpace
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from nni_darts import UnrolledDARTS

CLASSES = 10  # what the spaces of NNI's hub are made for


def _conv(kernel: int, c_in: int = 3) -> nn.Conv2d:
    return nn.Conv2d(c_in, 4, kernel, padding=kernel // 2)


class Classifying(ModelSpace):
    def __init__(self) -> None:
        super().__init__()
        self.body = self.make_body()
        self.head = nn.Linear(4, CLASSES)

    def make_body(self) -> nn.Module:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)).mean((2, 3)))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice([_conv(3), _conv(1)], label="first")
        self.second = LayerChoice({"wide": _conv(5), "narrow": _conv(1)}, label="second")
        self.choice = InputChoice(2, 1, label="choice")

    def forward(self, x: Tensor) -> Tensor:
        return self.choice([self.first(x), self.second(x)])


class Plain(Classifying):
    """LayerChoice and InputChoice: 2 x 2 x 2 samples."""

    def make_body(self) -> nn.Module:
        return TwoInputs()


class Repeated(Classifying):
    """A Repeat of LayerChoices: 2 + 4 + 8 architectures."""

    def make_body(self) -> nn.Module:
        def block(i: int) -> nn.Module:
            return LayerChoice([_conv(3, 4), _conv(1, 4)], label=f"block{i}")

        return nn.Sequential(_conv(1), Repeat(block, (1, 3), label="depth"))


class Doubled(Classifying):
    """A Repeat whose depth is an expression: 4 + 16 architectures."""

    def make_body(self) -> nn.Module:
        def block(i: int) -> nn.Module:
            return LayerChoice([_conv(3, 4), _conv(1, 4)], label=f"block{i}")

        return nn.Sequential(_conv(1), Repeat(block, nni.choice("pairs", [1, 2]) * 2))


class Nested(Classifying):
    """A LayerChoice in a LayerChoice: 2 + 1 architectures."""

    def make_body(self) -> nn.Module:
        inner = LayerChoice([_conv(3), _conv(1)], label="inner")
        return LayerChoice({"inner": inner, "five": _conv(5)}, label="outer")


class Valued(Classifying):
    """A mutable convolution: 2 widths x 3 kernels."""

    def make_body(self) -> nn.Module:
        kernel = nni.choice("kernel", [1, 3, 5])
        width = nni.choice("width", [2, 4])
        return nn.Sequential(
            MutableConv2d(3, width, kernel, padding=kernel // 2), MutableConv2d(width, 4, 1)
        )


class NniCell(Classifying):
    """NNI's own Cell: 3 nodes of 2 edges."""

    def make_body(self) -> nn.Module:
        operations = {
            "conv": lambda _, __, ___: _conv(3, 4),
            "id": lambda _, __, ___: nn.Identity(),
        }
        cell = Cell(operations, 3, 2, 2, label="cell")
        return CellOnImages(cell)


class CellOnImages(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.stem = _conv(1)
        self.cell = cell
        self.last = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.last(self.cell(x, x))


SPACES = {
    "plain": Plain,
    "repeat": Repeated,
    "expression": Doubled,
    "nested": Nested,
    "value": Valued,
    "cell": NniCell,
}


class Recipe(LightningModule):
    """Cross entropy and SGD, with a metric and logs to see who touches them."""

    def __init__(self, lr: float = 0.1, optimizer: Any = SGD) -> None:
        super().__init__()
        self.lr = lr
        self.optimizer = optimizer
        self.accuracy = MulticlassAccuracy(CLASSES, average="micro")

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        logits = self(x)
        self.accuracy(logits, y)
        self.log("train_acc", self.accuracy, on_step=False, on_epoch=True)
        return nn.functional.cross_entropy(logits, y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val_loss", nn.functional.cross_entropy(self(x), y))

    def configure_optimizers(self) -> Any:
        return self.optimizer(self.parameters(), lr=self.lr)


def loader(size: int = 16, batch_size: int = 8, shuffle: bool = False, seed: int = 0) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, 6, 6, generator=generator)
    y = torch.randint(0, CLASSES, (size,), generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=shuffle)


def evaluator(module: Any = None, train: Any = None, val: Any = None, **trainer: Any) -> Lightning:
    trainer = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        **trainer,
    }
    return Lightning(
        module or Recipe(),
        Trainer(**trainer),
        train_dataloaders=loader(shuffle=True) if train is None else train,
        val_dataloaders=loader(seed=1) if val is None else val,
    )


def start(space: ModelSpace, strategy: UnrolledDARTS, evaluator: Lightning) -> None:
    """Everything up to the first step."""
    strategy.initialize(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())


def search(
    space: ModelSpace, strategy: UnrolledDARTS | None = None, **kwargs: Any
) -> UnrolledDARTS:
    strategy = strategy or UnrolledDARTS(arc_learning_rate=0.1)
    start(space, strategy, evaluator(**kwargs))
    strategy.run()
    return strategy


def alphas(strategy: UnrolledDARTS) -> Tensor:
    parameters = strategy.oneshot_module.arch_parameters()
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
