"""The reference results of P-DARTS in ../shared/golden/variants/pdarts.json, by our names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from golden import SHARED

from nni_darts.genotypes.cell import Cell

KINDS = ("normal", "reduce")
EDGES = [(node, source) for node in range(2, 6) for source in range(node)]
Row = dict[str, float]


@cache
def reference() -> dict[str, Any]:
    path = SHARED / "golden" / "variants" / "pdarts.json"
    if not path.exists():
        pytest.skip(f"{path} is not here: the reference numbers do not ship with the project")
    return json.loads(path.read_text())


@dataclass(frozen=True)
class Case:
    """One of the ten searches."""

    number: int

    @property
    def content(self) -> dict[str, Any]:
        return reference()["cases"][self.number]

    @property
    def primitives(self) -> list[str]:
        return reference()["primitives"]

    def kept(self, stage: int, kind: str) -> list[list[str]]:
        """Operations of each edge after a stage; after stage -1 all of them."""
        if stage < 0:
            return [self.primitives] * len(EDGES)
        return self.content["kept_after_stage"][stage][kind]

    def alphas(self, stage: int, kind: str) -> dict[tuple[int, int], Row]:
        """Alphas of a stage, of the operations that were left."""
        table = self.content[f"alphas_{kind} (stage, edge, op)"][stage]
        return {
            edge: {name: row[self.primitives.index(name)] for name in names}
            for edge, row, names in zip(EDGES, table, self.kept(stage - 1, kind), strict=True)
        }

    def weights(self, stage: int, kind: str) -> dict[tuple[int, int], Row]:
        """Softmax of the alphas of a stage."""
        found = {}
        for edge, row in self.alphas(stage, kind).items():
            values = np.exp(list(row.values()))
            found[edge] = dict(zip(row, (values / values.sum()).tolist(), strict=True))
        return found

    def genotypes(self) -> dict[int, dict[str, list[list[Any]]]]:
        """Highest number of skip connections -> cells, the edges of a node by their inputs."""
        content = self.content
        at_most = {int(most): cells for most, cells in content["genotype_at_most"].items()}
        free = content["skips_unrestricted"]
        unrestricted = dict.fromkeys((free, free + 1, 14), content["genotype_unrestricted"])
        return {**unrestricted, 2: content["genotype_2_skips"], **at_most}


CASES = [pytest.param(Case(i), id=str(i)) for i in range(10)]


def by_input(cell: Cell) -> list[list[Any]]:
    """Edges of a cell as the reference lists them: those of a node by their inputs."""
    return [
        [edge.operation, edge.source]
        for edges in cell.nodes
        for edge in sorted(edges, key=lambda edge: edge.source)
    ]
