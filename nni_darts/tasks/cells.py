"""`CellTask`: tasks whose architectures are genotypes of cells."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_darts.genotypes import genotype_json, published
from nni_darts.genotypes.cell import FAMILIES
from nni_darts.genotypes.genotype import Genotype, is_of_cells_only
from nni_darts.tasks.base import Task

if TYPE_CHECKING:
    from torch import nn


class CellTask(Task):
    """A task whose networks `nni_darts.load` reads: their architecture is a `Genotype`."""

    @property
    @abstractmethod
    def cells(self) -> Sequence[str]:
        """The kinds of cells that its genotypes have, a key of `FAMILIES`."""

    @property
    @abstractmethod
    def primitives(self) -> Sequence[str]:
        """The operations that random cells are drawn of."""

    @abstractmethod
    def drawn(self, count: int, seed: int) -> list[Genotype]:
        """Random genotypes (`nni_darts.genotypes.random_cells`)."""

    @abstractmethod
    def sizes(self, genotype: Genotype) -> list[str]:
        """Lines of a table: how large its networks are at the papers' sizes; needs torch."""

    @abstractmethod
    def input_of(self, data: Any) -> dict[str, Any]:
        """Input of a network trained on data, see `nni_darts.training.checkpoint.describe`."""

    def architecture(self, text: str) -> Genotype:
        return genotype_json.parse(text)

    def given(self, text: str) -> Genotype:
        genotype = published.named(text)
        self.require(genotype)
        return genotype

    def require(self, architecture: Genotype) -> None:
        kinds = tuple(cell.kind for cell in architecture.cells)
        if kinds == tuple(self.cells):
            return
        # The other tasks matter for an error only, and the registry is built on this module.
        from nni_darts.tasks.registry import of_cells

        other = of_cells(kinds)
        data = "" if other is None else other.data_in_words
        raise ValueError(
            f"{FAMILIES[tuple(self.cells)]} is needed for {self.name}, got {FAMILIES[kinds]}; "
            f"choose another genotype or other data{data and f' (data {data})'}"
        )

    def require_found(self, sample: Mapping[str, Any]) -> None:
        try:
            if not is_of_cells_only(sample):
                raise ValueError("a genotype does not say what was chosen besides the cells")
            names = [str(value) for value in sample.values()]
            self.require(Genotype.from_sample(sample, operations=names))
        except ValueError:
            cells = " and ".join({"reduce": "reduction"}.get(kind, kind) for kind in self.cells)
            raise ValueError(
                f"is not a space of {cells} cells, and select and evaluate train such cells only "
                f"on {self.name}; leave out select and evaluate"
            ) from None

    def described(self, network: Any, data: Any, training: str) -> dict[str, Any]:
        from nni_darts.training import checkpoint

        return checkpoint.describe(network, self.input_of(data), training)

    def trained(self, weights: Path, architecture: Any, settings: Any, data: Any) -> nn.Module:
        from nni_darts.training import checkpoint

        return checkpoint.load(weights)
