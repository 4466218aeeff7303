"""The discrete DARTS network of a genotype, and the frame that it shares with the supernet.

Paper: section 3.1.1 and A.1.1; reference: cnn/model.py of quark0/darts. Torch only: a trained
network runs where nothing else is installed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nni_darts._common import limits
from nni_darts._common.checks import PROBABILITY, instance, number, size, truth
from nni_darts._common.messages import shown
from nni_darts.genotypes.genotype import Cell as CellGenotype
from nni_darts.genotypes.genotype import Genotype
from nni_darts.supernet.nodes import ChosenEdges, Nodes
from search_spaces.operations import (
    DropPath,
    Norm,
    network_norm,
    network_operation,
)
from search_spaces.places import (
    STEMS,
    Edges,
    Place,
    Stem,
    chain,
    require_affordable,
    stem_channels,
    weights_of,
    weights_of_cells,
)


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


class Frame(nn.Module):
    """Stem, a chain of cells, pooling and classifier: what supernet and network have in common."""

    stem: nn.Module
    cells: nn.ModuleList
    classifier: nn.Linear

    def build(
        self,
        make_nodes: Callable[[Place], Sequence[nn.Module]],
        concat: Mapping[str, Sequence[int]],
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
            make_nodes: maps a cell's place to its nodes.
            concat: kind of cell -> the states that it concatenates.
            norm: the normalisation of the cells' inputs.
            channels: see `chain`.
            num_cells: see `chain`.
            num_classes: number of classes of the classifier.
            stem: see `chain`.
            in_channels: channels of the images.
        """
        self.stem = _stem(in_channels, channels, stem)
        self.cells = nn.ModuleList()
        for link in chain(channels, num_cells, stem, _lengths(concat)):
            # Weights are drawn in the order of the modules, so that a seed gives the same ones.
            inputs = link.preprocessing(norm)
            nodes = make_nodes(link.place)
            self.cells.append(Cell(inputs, nodes, concat[link.place.kind]))
            yield link.place, link.output
        self.classifier = nn.Linear(link.output, num_classes)

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


def _stem(in_channels: int, channels: int, stem: Stem) -> nn.Module:
    made = CifarStem if stem == "cifar" else ImageNetStem
    return made(in_channels, stem_channels(channels, stem))


def _lengths(concat: Mapping[str, Sequence[int]]) -> dict[str, int]:
    return {kind: len(states) for kind, states in concat.items()}


def check_frame(
    channels: Any, num_cells: Any, num_classes: Any, stem: Any, in_channels: Any
) -> dict[str, Any]:
    """The arguments of a frame, by name; ValueError where it cannot be built."""
    found: dict[str, Any] = {}
    found["channels"] = count = size("channels", channels, -math.inf, limits.CHANNELS)
    if count < 2 or count % 2:
        raise ValueError(f"channels must be divisible by 2 and positive, got {shown(channels)}")
    try:
        found["num_cells"] = size("num_cells", num_cells, 3, limits.CELLS)
    except ValueError as error:
        raise ValueError(
            f"{error}: the cells at num_cells // 3 and 2 * num_cells // 3 are the reductions"
        ) from None
    found["num_classes"] = size("num_classes", num_classes, 2, limits.CLASSES)
    if not isinstance(stem, str) or stem not in STEMS:
        raise ValueError(f"stem must be 'cifar' or 'imagenet', got {shown(stem)}")
    found["stem"] = stem
    found["in_channels"] = size("in_channels", in_channels, 1, limits.CHANNELS)
    return found


def check_weights(
    frame: Mapping[str, Any],
    concat: Mapping[str, Sequence[int]],
    edges: Edges,
    operation: Callable[[str, int, int], nn.Module],
    norm: Norm,
    auxiliary: bool = False,
) -> int:
    """Check the number of weights; ValueError for too many. Nothing is allocated.

    Args:
        frame: arguments from `check_frame`.
        concat: see `Frame.build`.
        edges: edges of each kind of cell.
        operation: see `weights_of_cells`.
        norm: see `Frame.build`.
        auxiliary: whether there is a second classifier.
    """
    channels, num_cells, stem = frame["channels"], frame["num_cells"], frame["stem"]
    num_classes = frame["num_classes"]
    links = list(chain(channels, num_cells, stem, _lengths(concat)))
    total: int = weights_of(lambda: _stem(frame["in_channels"], channels, stem))
    total += weights_of_cells(links, edges, operation, norm)
    total += (links[-1].output + 1) * int(num_classes)
    if auxiliary:
        width = links[2 * num_cells // 3].output
        total += weights_of(lambda: auxiliary_head(width, num_classes, stem))
    named = ", ".join(f"{name} {value}" for name, value in frame.items() if name != "stem")
    nodes = ", ".join(f"{len(states)} states of a {kind} cell" for kind, states in concat.items())
    require_affordable(total, f"{named} with {nodes}")
    return total


class DartsNetwork(Frame):
    """The network that a genotype describes, to be trained from scratch.

    Args:
        genotype: normal and reduction cell; a cell may concatenate a subset of its nodes.
        channels: channels per node of the first cell, even; the paper: 36 (CIFAR), 48 (ImageNet).
        num_cells: number of cells, at least 3; the paper has 20 (CIFAR), 14 (ImageNet).
        num_classes: number of classes, at least 2.
        auxiliary: add a second classifier after cell 2 * num_cells // 3. In training mode `forward`
            then returns the logits of both. It takes feature maps of 8x8 (CIFAR, 32x32 images) or
            7x7 (ImageNet, 224x224 images).
        drop_path: probability in [0, 1) with which an edge other than the identity is dropped for
            an image in training; set the attribute to change it over epochs.
        stem: "cifar" or "imagenet" (divides height and width by 8).
        in_channels: channels of the images.

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
        frame = check_frame(channels, num_cells, num_classes, stem, in_channels)
        auxiliary, drop_path = truth("auxiliary", auxiliary), _drop_path(drop_path)
        instance("genotype", genotype, Genotype, "a Genotype (a text is read by Genotype.parse)")
        kinds = [cell.kind for cell in genotype.cells]
        if sorted(kinds) != ["normal", "reduce"]:
            raise ValueError(f"a genotype of normal and reduce cells is needed, got cells {kinds}")
        concat = {cell.kind: cell.concat for cell in genotype.cells}
        edges = {
            cell.kind: Counter((e.operation, e.source < 2) for node in cell.nodes for e in node)
            for cell in genotype.cells
        }
        check_weights(frame, concat, edges, network_operation, network_norm, auxiliary)
        super().__init__()
        self.genotype = genotype
        self._arguments = {**frame, "auxiliary": auxiliary}
        self.auxiliary: nn.Module | None = None
        self._auxiliary_after = 2 * frame["num_cells"] // 3
        for place, c_out in self.build(
            lambda place: _chosen_nodes(genotype[place.kind], place), concat, network_norm, **frame
        ):
            if auxiliary and place.index == self._auxiliary_after:
                self.auxiliary = auxiliary_head(c_out, frame["num_classes"], stem)
        self.drop_path = drop_path

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that build this network again, with its genotype; without `drop_path`."""
        return {**self._arguments, "auxiliary": self.auxiliary is not None}

    @property
    def drop_path(self) -> float:
        return self._drop_path

    @drop_path.setter
    def drop_path(self, probability: float) -> None:
        self._drop_path = probability = _drop_path(probability)
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


def _drop_path(value: object) -> float:
    return number("drop_path", value, PROBABILITY)


def _chosen_nodes(cell: CellGenotype, place: Place) -> list[ChosenEdges]:
    def edge(name: str, source: int) -> nn.Module:
        operation = network_operation(name, place.channels, place.stride(source))
        if isinstance(operation, nn.Identity):
            return operation
        return nn.Sequential(operation, DropPath())

    return [
        ChosenEdges([edge(*e) for e in node], [source for _, source in node]) for node in cell.nodes
    ]


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
