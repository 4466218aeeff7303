"""The command that lists the methods of a search."""

from __future__ import annotations

import argparse

from nni_darts._common.table import Column, lines
from nni_darts.search.variants import VARIANTS

_COLUMNS = (
    Column("method", left=True),
    Column("other than DARTS of first order", left=True),
    Column("time"),
    Column("arXiv", left=True),
    Column("experiments/", left=True),
)


def variants(options: argparse.Namespace) -> int:
    """Print a line for every method."""
    rows = [
        (
            each.name,
            each.changes,
            "-" if each.cost is None else f"{each.cost:g}",
            each.reference,
            ", ".join(each.experiments) or "-",
        )
        for each in VARIANTS
    ]
    print("\n".join(lines(_COLUMNS, rows)))
    print("time: of a step relative to first order, measured on a CPU; docs/methods.md has more")
    return 0
