"""Architectures of NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326), and their text.

A cell has the states 0 (its input) to 3 (its output), with an edge from each to every later one:

    x_j = sum over all i < j of o_(i,j)(x_i)

As text it lists the edges by target and then by source, each as operation~source:

    |op~0|+|op~0|op~1|+|op~0|op~1|op~2|
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nni_darts._common.checks import texts
from nni_darts._common.messages import shown, unknown

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The operations of every edge, in the benchmark's order."""
TARGETS = (1, 2, 3)
"""The states besides the cell's input."""
EDGES = tuple((target, source) for target in TARGETS for source in range(target))
"""The edges (target, source), in the benchmark's order."""
LABELS = {edge: "cell_{}_{}".format(*edge) for edge in EDGES}
"""Edge -> the label of its choice in a model space."""

_FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
_MAX_TEXT = 1_000  # characters; the longest architecture has 101


@dataclass(frozen=True)
class Cell201:
    """A cell of NAS-Bench-201; `str` gives its text.

    Every edge is kept, and may be `none`: some cells have no path from input to output.

    Args:
        operations: names from `OPERATIONS` in the order of `EDGES`.

    Raises:
        ValueError: there are not six, or one is unknown.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        operations = texts("operations", self.operations)
        if len(operations) != len(EDGES):
            raise ValueError(
                f"operations must be {len(EDGES)} names, one for each edge, got {len(operations)}"
            )
        for (target, source), name in zip(EDGES, operations, strict=True):
            if name not in OPERATIONS:
                what = unknown("operation", name, OPERATIONS)
                raise ValueError(f"edge {target}<-{source}: {what}")
        object.__setattr__(self, "operations", operations)

    def __getitem__(self, edge: tuple[int, int]) -> str:
        """The operation of an edge (target, source)."""
        return self.operations[EDGES.index(edge)]

    def __str__(self) -> str:
        nodes = (
            "".join(f"{self[target, source]}~{source}|" for source in range(target))
            for target in TARGETS
        )
        return "+".join(f"|{node}" for node in nodes)

    @classmethod
    def parse(cls, text: str) -> Cell201:
        """Read the text of an architecture.

        Raises:
            ValueError: one line that names the node or the edge, for any other text.
        """
        if not isinstance(text, str) or len(text) > _MAX_TEXT:
            raise ValueError(f"an architecture must be a text such as {_FORM}, got {shown(text)}")
        nodes = text.strip().split("+")
        if len(nodes) != len(TARGETS):
            raise ValueError(
                f"an architecture must have {len(TARGETS)} nodes joined by +, as {_FORM}, got "
                f"{len(nodes)} in {shown(text)}"
            )
        return cls(
            tuple(
                name
                for target, node in zip(TARGETS, nodes, strict=True)
                for name in _names(target, node)
            )
        )

    @classmethod
    def from_sample(cls, sample: Mapping[str, Any]) -> Cell201:
        """Read the sample of a model space, which names the operation under each label.

        Raises:
            ValueError: a label is missing, or an operation is unknown.
        """
        missing = [label for label in LABELS.values() if label not in sample]
        if missing:
            raise ValueError(f"the sample of a NasBench201 lacks {', '.join(missing)}")
        return cls(tuple(sample[label] for label in LABELS.values()))

    @property
    def sample(self) -> dict[str, str]:
        """Sample of a model space that gives this architecture."""
        return dict(zip(LABELS.values(), self.operations, strict=True))


def _names(target: int, node: str) -> list[str]:
    """Operations of the edges into a node, from its text."""
    edges = node[1:-1].split("|")
    if not (node.startswith("|") and node.endswith("|")) or len(edges) != target:
        expected = "|".join(f"op~{source}" for source in range(target))
        raise ValueError(f"node {target}: must be |{expected}|, got {shown(node)}")
    names = []
    for source, edge in enumerate(edges):
        name, _, number = edge.rpartition("~")
        if number != str(source) or not name:
            raise ValueError(
                f"edge {target}<-{source}: must be an operation and ~{source}, got {shown(edge)}"
            )
        names.append(name)
    return names
