"""The discrete networks of NAS-Bench-201, and the frame that they share with the supernet.

Dong and Yang, ICLR 2020, arXiv 2001.00326, section 2.1. Torch only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from nni_darts._common import limits
from nni_darts._common.checks import instance, size
from nni_darts.genotypes.nas_bench_201 import TARGETS, Cell201
from nni_darts.supernet.nodes import ChosenEdges, Nodes
from search_spaces.operations import (
    Norm,
    avg_pool_3x3,
    network_norm,
    none,
    relu_conv_norm,
    skip_connect,
)
from search_spaces.places import require_affordable, weights_of

STAGES = 3
"""Stages of cells; a residual block before each but the first halves the size of the images."""


def _convolution(kernel: int, channels: int, stride: int, norm: Norm) -> nn.Module:
    return relu_conv_norm(channels, channels, norm, kernel, stride)


_OPERATIONS: Mapping[str, Callable[[int, int, Norm], nn.Module]] = {
    "none": none,
    "skip_connect": skip_connect,
    "nor_conv_1x1": partial(_convolution, 1),
    "nor_conv_3x3": partial(_convolution, 3),
    "avg_pool_3x3": avg_pool_3x3,
}


def operation(name: str, channels: int, norm: Norm) -> nn.Module:
    """The operation of an edge; pools have no normalisation."""
    return _OPERATIONS[name](channels, 1, norm)


class DenseCell(nn.Module):
    """A cell of one input in which each node is the sum of an edge from every state before it.

    Args:
        edge: maps (target, source) to the module of the edge.
    """

    def __init__(self, edge: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.nodes = Nodes([ChosenEdges([edge(j, i) for i in range(j)], range(j)) for j in TARGETS])

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.nodes([x])[-1])


class Residual(nn.Module):
    """A basic residual block that halves height and width, rounding up."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_a = relu_conv_norm(in_channels, out_channels, network_norm, 3, 2)
        self.conv_b = relu_conv_norm(out_channels, out_channels, network_norm, 3)
        # ceil_mode: the benchmark's sizes are even; others are rounded as the convolution does.
        pool = nn.AvgPool2d(2, 2, ceil_mode=True)
        self.downsample = nn.Sequential(pool, nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.downsample(x) + self.conv_b(self.conv_a(x)))


class Frame201(nn.Module):
    """Stem, three stages of cells and a classifier: what supernet and network have in common."""

    def build(
        self,
        make_cell: Callable[[int], nn.Module],
        *,
        channels: int,
        cells_per_stage: int,
        num_classes: int,
        in_channels: int,
    ) -> None:
        """Add the modules.

        Args:
            make_cell: maps the channels of a stage to a cell.
            channels: of the first stage; twice as many in each of the others.
            cells_per_stage: number of cells of a stage.
            num_classes: number of classes of the classifier.
            in_channels: channels of the images.
        """
        self.stem = _stem(in_channels, channels)
        self.cells = nn.ModuleList()
        for stage, width in enumerate(_widths(channels)):
            if stage > 0:
                self.cells.append(Residual(width // 2, width))
            self.cells.extend(make_cell(width) for _ in range(cells_per_stage))
        self.last = nn.Sequential(network_norm(width), nn.ReLU())
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, in_channels, H, W)."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        logits: Tensor = self.classifier(self.last(x).mean((2, 3)))
        return logits


def _stem(in_channels: int, channels: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, network_norm(channels))


def _widths(channels: int) -> Iterator[int]:
    return (channels * 2**stage for stage in range(STAGES))


def check_frame(
    channels: Any, cells_per_stage: Any, num_classes: Any, in_channels: Any
) -> dict[str, int]:
    """The arguments of a frame, by name; ValueError for one that is out of its range."""
    return {
        "channels": size("channels", channels, 1, limits.CHANNELS),
        "cells_per_stage": size("cells_per_stage", cells_per_stage, 1, limits.CELLS),
        "num_classes": size("num_classes", num_classes, 2, limits.CLASSES),
        "in_channels": size("in_channels", in_channels, 1, limits.CHANNELS),
    }


def check_weights(frame: Mapping[str, int], cell: Callable[[int], list[nn.Module]]) -> None:
    """Check the number of weights; ValueError for too many. Nothing is allocated.

    Args:
        frame: arguments from `check_frame`.
        cell: maps the channels of a stage to the operations of a cell.
    """
    total: int = weights_of(lambda: _stem(frame["in_channels"], frame["channels"]))
    for width in _widths(frame["channels"]):
        in_cell = weights_of(lambda at=width: nn.ModuleList(cell(at)))  # type: ignore[misc]
        total += frame["cells_per_stage"] * in_cell
    for width in list(_widths(frame["channels"]))[1:]:
        total += weights_of(lambda at=width: Residual(at // 2, at))  # type: ignore[misc]
    total += 2 * width + (width + 1) * frame["num_classes"]
    require_affordable(total, ", ".join(f"{name} {value}" for name, value in frame.items()))


class NasBench201Network(Frame201):
    """The network that an architecture of NAS-Bench-201 describes, to be trained from scratch.

    Operations that no path leads through are there all the same, as in the benchmark.

    Args:
        architecture: the cell (a text is read by `Cell201.parse`).
        channels: of the first stage; the benchmark: 16.
        cells_per_stage: number of cells of a stage; the benchmark: 5.
        num_classes: number of classes, at least 2.
        in_channels: channels of the images.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        architecture: Cell201,
        channels: int = 16,
        cells_per_stage: int = 5,
        num_classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        frame = check_frame(channels, cells_per_stage, num_classes, in_channels)
        instance("architecture", architecture, Cell201, "a Cell201 (a text: Cell201.parse)")

        def edge(width: int, target: int, source: int) -> nn.Module:
            return operation(architecture[target, source], width, network_norm)

        check_weights(
            frame,
            lambda width: [operation(n, width, network_norm) for n in architecture.operations],
        )
        super().__init__()
        self.architecture = architecture
        self.build(lambda width: DenseCell(partial(edge, width)), **frame)
