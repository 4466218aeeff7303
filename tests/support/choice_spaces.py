"""Spaces of a user's own for the tests of pictures: choices of all sorts, cells or not."""

from __future__ import annotations

import nni
from nni.nas.nn.pytorch import InputChoice, LayerChoice, ModelSpace, MutableConv2d, Repeat
from torch import Tensor, nn

from search_spaces import DartsCNN


def _conv(kernel: int, channels: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, kernel, padding=kernel // 2), nn.ReLU())


def _layer(label: str) -> LayerChoice:
    candidates = {
        "conv3x3_relu": _conv(3),
        "conv5x5_relu": _conv(5),
        "max_pool_3x3": nn.MaxPool2d(3, 1, 1),
        "skip_connect": nn.Identity(),
    }
    return LayerChoice(candidates, label=label)


class ChoiceSpace(ModelSpace):
    """Labels that are alike in what fits into a key, and one that costs $."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        width = nni.choice("mid_width", [2, 4, 8])
        self.stem = nn.Sequential(
            MutableConv2d(in_channels, width, 3, padding=1), MutableConv2d(width, 4, 1)
        )
        self.first = _layer("encoder_stage1_block_operation")
        self.second = _layer("encoder_stage2_block_operation")
        self.branch = InputChoice(2, 1, label="skip <b>or not, for $5 or $6")
        self.blocks = Repeat(lambda i: _conv(3), (1, 3), label="depth")
        self.head = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.blocks(self.branch([x, self.second(self.first(x))]))
        return self.head(x.mean((2, 3)))


class CellsAndChoices(ModelSpace):
    """The cells of DARTS, and a choice before them."""

    extra_oneshot_hooks = staticmethod(DartsCNN.extra_oneshot_hooks)

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        kernels = {f"kernel_{k}": nn.Conv2d(in_channels, 3, k, padding=k // 2) for k in (1, 3, 5)}
        self.before = LayerChoice(kernels, label="the_first_kernel")
        self.cells = DartsCNN(
            channels=4, num_cells=3, num_classes=num_classes, num_nodes=2, in_channels=3
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(self.before(x))
