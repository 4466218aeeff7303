"""One colour for each operation, the same in every picture and on the web page.

The hues follow the families: blue for separable, green and purple for dilated convolutions, brown
for pooling, red for the skip connection, whose spread is what a collapsed search looks like. Told
apart with red-, green- and blue-blind eyes, and legible as small text:
tests/pictures/test_colours.py measures both.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from nni_darts.genotypes.cell import OPERATIONS

__all__ = ["DARK", "LIGHT", "NODES", "OPERATION_COLOURS", "Colour", "colour_of", "colours_among"]

LIGHT = "#FFFFFF"
"""The background on which `Colour.light` stands; pictures bring it along."""
DARK = "#16181D"
"""The background on which `Colour.dark` stands."""


class Colour(NamedTuple):
    """Colours of lines and text, as `#RRGGBB`, on a light and on a dark background."""

    light: str  # on a white background
    dark: str  # on a dark one


OPERATION_COLOURS = {
    "none": Colour("#767676", "#8A8A8A"),
    "max_pool_3x3": Colour("#A56900", "#FF9A1F"),
    "avg_pool_3x3": Colour("#4A3F00", "#FFF27A"),
    "skip_connect": Colour("#C42B30", "#F0503F"),
    "sep_conv_3x3": Colour("#0A3FB5", "#5B82FF"),
    "sep_conv_5x5": Colour("#007CBA", "#B5F0FF"),
    "dil_conv_3x3": Colour("#005540", "#35D08B"),
    "dil_conv_5x5": Colour("#8E1F8E", "#DA90E6"),
    "sep_conv_7x7": Colour("#2B2A6B", "#A9A6FF"),
    "conv_7x1_1x7": Colour("#111111", "#FFFFFF"),
    # Recurrent cells have no operation in common with the others but none.
    "tanh": Colour("#0A3FB5", "#5B82FF"),
    "relu": Colour("#005540", "#35D08B"),
    "sigmoid": Colour("#A56900", "#FF9A1F"),
    "identity": Colour("#C42B30", "#F0503F"),
}
assert set(OPERATION_COLOURS) == set(OPERATIONS)

# Of a user's own operations.
_OTHERS = (
    Colour("#6B4226", "#D8A989"),
    Colour("#B8336A", "#FF8FB8"),
    Colour("#3F6C00", "#A5D65A"),
    Colour("#00696B", "#4FD0D3"),
    Colour("#5E4FA2", "#B9AEF2"),
)

NODES = {
    "input": ("#DDEFD9", "#4B8B3B"),
    "node": ("#DCE9F7", "#3A73B0"),
    "output": ("#FBF0C9", "#B08D1A"),
}
"""Colours of a box by its role, inside and at its border, as in the paper's figures."""


def colour_of(operation: str) -> Colour:
    """Colour of an operation; stable across processes for operations of a user's own."""
    other = _OTHERS[zlib.crc32(operation.encode()) % len(_OTHERS)]
    return OPERATION_COLOURS.get(operation, other)


# Of candidates without a colour of their own. The first nine are told apart by all eyes.
_IN_ORDER = (
    OPERATION_COLOURS["sep_conv_3x3"],
    OPERATION_COLOURS["max_pool_3x3"],
    OPERATION_COLOURS["dil_conv_5x5"],
    OPERATION_COLOURS["skip_connect"],
    OPERATION_COLOURS["sep_conv_5x5"],
    OPERATION_COLOURS["dil_conv_3x3"],
    OPERATION_COLOURS["avg_pool_3x3"],
    OPERATION_COLOURS["none"],
    OPERATION_COLOURS["conv_7x1_1x7"],
    OPERATION_COLOURS["sep_conv_7x7"],
    *_OTHERS,
)


def colours_among(candidates: Sequence[str]) -> list[Colour]:
    """Colour of each candidate of one choice, all distinct while there are enough.

    An operation keeps its own; the same candidates have the same colours, whatever their weights.
    """
    own = {name: OPERATION_COLOURS[name] for name in candidates if name in OPERATION_COLOURS}
    if len(set(own.values())) < len(own):  # tanh beside a separable convolution
        own = {}
    free = [colour for colour in _IN_ORDER if colour not in own.values()] or list(_IN_ORDER)
    others = [name for name in candidates if name not in own]
    given = own | {name: free[i % len(free)] for i, name in enumerate(others)}
    return [given[name] for name in candidates]
