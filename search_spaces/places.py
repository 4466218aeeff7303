"""Places of the cells of a network, and the number of their weights, before any is made.

The number is exact and comes without making the network: of cells that are alike one is measured.
It is asked for by the constructors of our networks and spaces, however they are called. Those of a
user's own are counted while they are made, see `nni_darts.training.bounded`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

from nni_darts._common import limits
from search_spaces.operations import FactorizedReduce, Norm, relu_conv_norm

Stem = Literal["cifar", "imagenet"]
STEMS: tuple[Stem, ...] = ("cifar", "imagenet")


@dataclass(frozen=True)
class Place:
    """Place of a cell."""

    index: int
    kind: Literal["normal", "reduce"]
    channels: int
    """Channels of each node."""

    def stride(self, source: int) -> int:
        """Stride of an edge: 2 where it starts at an input of a reduction cell."""
        return 2 if self.kind == "reduce" and source < 2 else 1


class Link(NamedTuple):
    """A place in the chain of cells."""

    place: Place
    reduced: bool
    """True if the older input is too large by a factor of two: a reduction came between."""
    inputs: tuple[int, int]
    """Channels of c_{k-2} and of c_{k-1}."""
    output: int
    """Channels of c_k."""

    def preprocessing(self, norm: Norm) -> list[nn.Module]:
        """Modules that bring the two inputs to one shape."""
        older = FactorizedReduce if self.reduced else relu_conv_norm
        channels = self.place.channels
        return [
            older(self.inputs[0], channels, norm),
            relu_conv_norm(self.inputs[1], channels, norm),
        ]


def stem_channels(channels: int, stem: Stem) -> int:
    """Channels of the stem's output."""
    return 3 * channels if stem == "cifar" else channels


def chain(channels: int, num_cells: int, stem: Stem, states: Mapping[str, int]) -> Iterator[Link]:
    """Links of the chain of cells, in order.

    Args:
        channels: channels of each node of the first cell; doubled at each reduction.
        num_cells: number of cells; those at num_cells // 3 and 2 * num_cells // 3 are reductions.
        stem: "cifar" (keeps the size) or "imagenet" (divides it by 8).
        states: kind of cell -> how many states it concatenates.
    """
    older = newer = stem_channels(channels, stem)
    # The second stage of the ImageNet stem halves the size as a reduction cell does.
    reduced = stem == "imagenet"
    for index in range(num_cells):
        reduces = index in (num_cells // 3, 2 * num_cells // 3)
        channels *= 2 if reduces else 1
        place = Place(index, "reduce" if reduces else "normal", channels)
        output = channels * states[place.kind]
        yield Link(place, reduced, (older, newer), output)
        older, newer, reduced = newer, output, reduces


Edges = Mapping[str, "Counter[tuple[str, bool]]"]
"""Kind of cell -> (operation, whether the edge starts at an input of the cell) -> how many."""


def weights_of_cells(
    links: list[Link],
    edges: Edges,
    operation: Callable[[str, int, int], nn.Module],
    norm: Norm,
) -> int:
    """Number of weights of the cells; cells that are alike are counted once.

    Args:
        links: links of the chain.
        edges: edges of each kind of cell.
        operation: makes the operation of a name, with channels and stride.
        norm: normalisation of the cells' inputs.
    """
    known: dict[tuple[object, ...], int] = {}

    def of(link: Link) -> int:
        place = link.place
        total = weights_of(lambda: nn.ModuleList(link.preprocessing(norm)))
        for (name, at_input), count in edges[place.kind].items():
            stride = place.stride(0 if at_input else 2)
            key = (name, place.channels, stride)
            if key not in known:
                known[key] = weights_of(lambda k=key: operation(*k))  # type: ignore[misc]
            total += count * known[key]
        return total

    total = 0
    for link in links:
        alike = (link.place.kind, link.place.channels, link.reduced, link.inputs)
        if alike not in known:
            known[alike] = of(link)
        total += known[alike]
    return total


def weights_of(make: Callable[[], nn.Module]) -> int:
    """Number of weights of a module, which is made without data and without random draws."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        try:
            return sum(parameter.numel() for parameter in make().parameters())
        # An operation of the user's own that needs data to be made, or cannot be made: as it is
        # made in earnest, it will say so.
        except Exception:
            return 0


def require_affordable(weights: int, sizes: str) -> None:
    """Raise ValueError for more weights than a network may have.

    Args:
        weights: number of weights.
        sizes: the arguments that they come from, with their values.
    """
    if weights > limits.PARAMETERS:
        raise ValueError(
            f"{sizes} would make {weights:,} parameters, expected at most {limits.PARAMETERS:,}; "
            "choose smaller ones"
        )
