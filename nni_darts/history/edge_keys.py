"""The short names in the keys of a search's reports: NNI's web UI shows twelve characters."""

from __future__ import annotations

import re

LETTERS = {"normal": "n", "reduce": "r", "recurrent": "c"}
"""Of the kinds of cells."""

SHORT = {
    "none": "none",
    "max_pool_3x3": "maxp",
    "avg_pool_3x3": "avgp",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "sep_conv_7x7": "sep7",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
    "conv_7x1_1x7": "c7x1",
    "sigmoid": "sigm",
    "identity": "iden",
}
"""Of operations; others keep their names."""

EDGE = re.compile(r"([nrc])(\d{1,2})<(\d{1,2}) (.+)", re.ASCII)
"""The key of an operation on an edge of a cell: `n2<0 sep3`."""
