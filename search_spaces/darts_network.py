"""The discrete DARTS network of a genotype, and the frame that it shares with the supernet.

Paper: section 3.1.1 and A.1.1; reference: cnn/model.py of quark0/darts. Torch only: a trained
network runs where nothing else is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nni_darts.genotype import Cell as CellGenotype
from nni_darts.genotype import Genotype
from nni_darts.node import ChosenEdges, Nodes
from search_spaces.operations import (
    DropPath,
    FactorizedReduce,
    Norm,
    network_norm,
    network_operation,
    relu_conv_norm,
)

Stem = Literal["cifar", "imagenet"]


class Cell(nn.Module):
    """Two inputs, brought to one shape; nodes; the concatenation of some of them.

    Args:
        inputs: the preprocessing of c_{k-2} and of c_{k-1}.
        nodes: each maps the list of the states so far (the two inputs first) to one more.
        concat: the indices of the states that are concatenated.
    """

    def __init__(
        self, inputs: Sequence[nn.Module], nodes: Sequence[nn.Module], concat: Sequence[int]
    ) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(inputs)
        self.nodes = Nodes(nodes)
        self.concat = tuple(concat)

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        states = self.nodes([self.inputs[0](s0), self.inputs[1](s1)])
        return torch.cat([states[i] for i in self.concat], dim=1)


@dataclass(frozen=True)
class Place:
    """Where a cell stands."""

    index: int
    kind: Literal["normal", "reduce"]
    channels: int
    """Per node."""

    def stride(self, source: int) -> int:
        """Edges of a reduction cell have stride 2 where they start at the cell's inputs."""
        return 2 if self.kind == "reduce" and source < 2 else 1


class Frame(nn.Module):
    """Stem, a chain of cells, pooling and classifier: what supernet and network have in common."""

    stem: nn.Module
    cells: nn.ModuleList
    classifier: nn.Linear

    def build(
        self,
        make_nodes: Callable[[Place], tuple[Sequence[nn.Module], Sequence[int]]],
        norm: Norm,
        *,
        channels: int,
        num_cells: int,
        num_classes: int,
        stem: Stem,
        in_channels: int,
    ) -> Iterator[tuple[Place, int]]:
        """Add the modules; yields each cell's place and output channels once it is there.

        Args:
            make_nodes: for a cell's place, its nodes and the states that it concatenates.
            norm: the normalisation of the cells' inputs.
            channels: of each node of the first cell; doubled at each reduction.
            num_cells: those at num_cells // 3 and 2 * num_cells // 3 are reductions.
            num_classes: of the classifier.
            stem: "cifar" (keeps the size) or "imagenet" (divides it by 8).
            in_channels: of the images.
        """
        if stem == "cifar":
            self.stem = CifarStem(in_channels, 3 * channels)
            c_prev_prev = c_prev = 3 * channels
        else:
            self.stem = ImageNetStem(in_channels, channels)
            c_prev_prev = c_prev = channels
        # The second stage of the ImageNet stem halves the size as a reduction cell does.
        previous_reduced = stem == "imagenet"
        self.cells = nn.ModuleList()
        for index in range(num_cells):
            reduces = index in (num_cells // 3, 2 * num_cells // 3)
            channels *= 2 if reduces else 1
            place = Place(index, "reduce" if reduces else "normal", channels)
            # After a reduction it is the older input that is too large by a factor of two.
            older = FactorizedReduce if previous_reduced else relu_conv_norm
            inputs = [older(c_prev_prev, channels, norm), relu_conv_norm(c_prev, channels, norm)]
            nodes, concat = make_nodes(place)
            self.cells.append(Cell(inputs, nodes, concat))
            c_prev_prev, c_prev = c_prev, channels * len(concat)
            previous_reduced = reduces
            yield place, c_prev
        self.classifier = nn.Linear(c_prev, num_classes)

    def cell_outputs(self, x: Tensor) -> Iterator[Tensor]:
        s0, s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
            yield s1

    def classify(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of the last cell's output (N, C, H, W)."""
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


class CifarStem(nn.Module):
    """One 3x3 convolution; both inputs of the first cell are its output."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.both = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.both(x)
        return x, x


class ImageNetStem(nn.Module):
    """Three 3x3 convolutions of stride 2; the first cell sees the output of the last two."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()

        def conv(c_in: int, c_out: int) -> list[nn.Module]:
            return [nn.Conv2d(c_in, c_out, 3, 2, padding=1, bias=False), nn.BatchNorm2d(c_out)]

        half = channels // 2
        self.older = nn.Sequential(*conv(in_channels, half), nn.ReLU(), *conv(half, channels))
        self.newer = nn.Sequential(nn.ReLU(), *conv(channels, channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        older = self.older(x)
        return older, self.newer(older)


def check_frame(
    channels: int, num_cells: int, num_classes: int, stem: str, in_channels: int
) -> None:
    """Raise ValueError for a frame that cannot be built."""
    if channels < 2 or channels % 2:
        raise ValueError(f"channels must be divisible by 2 and positive, got {channels}")
    if num_cells < 3:
        raise ValueError(
            f"num_cells must be at least 3, got {num_cells}: "
            "the cells at num_cells // 3 and 2 * num_cells // 3 are the reductions"
        )
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    if in_channels < 1:
        raise ValueError(f"in_channels must be at least 1, got {in_channels}")
    if stem not in ("cifar", "imagenet"):
        raise ValueError(f"stem must be 'cifar' or 'imagenet', got {stem!r}")


class DartsNetwork(Frame):
    """The network that a genotype describes, to be trained from scratch.

    Args:
        genotype: of two cells, normal and reduce; a cell may concatenate a subset of its nodes.
        channels: of each node of the first cell, even; the paper has 36 (CIFAR), 48 (ImageNet).
        num_cells: at least 3; the paper has 20 (CIFAR), 14 (ImageNet).
        num_classes: at least 2.
        auxiliary: add a second classifier after cell 2 * num_cells // 3. In training mode `forward`
            then returns the logits of both. It takes feature maps of 8x8 (CIFAR, 32x32 images) or
            7x7 (ImageNet, 224x224 images).
        drop_path: probability in [0, 1) with which an edge other than the identity is dropped for
            an image in training; set the attribute to change it over epochs.
        stem: "cifar" or "imagenet" (divides height and width by 8).
        in_channels: of the images.

    Raises:
        ValueError: an argument is out of its range, or the genotype is recurrent.
    """

    def __init__(
        self,
        genotype: Genotype,
        channels: int = 36,
        num_cells: int = 20,
        num_classes: int = 10,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        stem: Stem = "cifar",
        in_channels: int = 3,
    ) -> None:
        check_frame(channels, num_cells, num_classes, stem, in_channels)
        kinds = [cell.kind for cell in genotype.cells]
        if sorted(kinds) != ["normal", "reduce"]:
            raise ValueError(f"a genotype of normal and reduce cells is needed, got cells {kinds}")
        super().__init__()
        self.genotype = genotype
        self._arguments = {
            "channels": channels,
            "num_cells": num_cells,
            "num_classes": num_classes,
            "auxiliary": auxiliary,
            "stem": stem,
            "in_channels": in_channels,
        }
        self.auxiliary: nn.Module | None = None
        self._auxiliary_after = 2 * num_cells // 3
        for place, c_out in self.build(
            lambda place: _chosen_nodes(genotype[place.kind], place),
            network_norm,
            channels=channels,
            num_cells=num_cells,
            num_classes=num_classes,
            stem=stem,
            in_channels=in_channels,
        ):
            if auxiliary and place.index == self._auxiliary_after:
                self.auxiliary = auxiliary_head(c_out, num_classes, stem)
        self.drop_path = drop_path

    @property
    def arguments(self) -> dict[str, Any]:
        """What builds this network again, with its genotype; not `drop_path`, which changes."""
        return {**self._arguments, "auxiliary": self.auxiliary is not None}

    @property
    def drop_path(self) -> float:
        return self._drop_path

    @drop_path.setter
    def drop_path(self, probability: float) -> None:
        if not 0 <= probability < 1:
            raise ValueError(f"drop_path must be in [0, 1), got {probability}")
        self._drop_path = probability
        for module in self.modules():
            if isinstance(module, DropPath):
                module.p = probability

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        auxiliary_logits = None
        for index, x in enumerate(self.cell_outputs(x)):  # noqa: B020
            if self.training and self.auxiliary is not None and index == self._auxiliary_after:
                auxiliary_logits = self.auxiliary(x)
        logits = self.classify(x)
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)


def _chosen_nodes(cell: CellGenotype, place: Place) -> tuple[list[ChosenEdges], tuple[int, ...]]:
    def edge(name: str, source: int) -> nn.Module:
        operation = network_operation(name, place.channels, place.stride(source))
        if isinstance(operation, nn.Identity):
            return operation
        return nn.Sequential(operation, DropPath())

    nodes = [
        ChosenEdges([edge(*e) for e in node], [source for _, source in node]) for node in cell.nodes
    ]
    return nodes, cell.concat


def auxiliary_head(in_channels: int, num_classes: int, stem: Stem) -> nn.Sequential:
    """The second classifier; ImageNet's lacks the last normalisation, as in the reference code."""
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride=3 if stem == "cifar" else 2, count_include_pad=False),
        nn.Conv2d(in_channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *([nn.BatchNorm2d(768)] if stem == "cifar" else []),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(768, num_classes),
    )
