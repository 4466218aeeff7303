"""`SampleTask`: tasks whose architectures are samples of any space, as NNI's choices give them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_darts.genotypes.sample import Sample
from nni_darts.tasks.base import Task

if TYPE_CHECKING:
    from torch import nn


class SampleTask(Task):
    """A task whose network is a space frozen by a `Sample`, trained afresh."""

    @abstractmethod
    def network(self, architecture: Sample, settings: Any, data: Any) -> nn.Module:
        """The frozen space, with fresh weights; ValueError where the sample does not fit it."""

    def architecture(self, text: str) -> Sample:
        return Sample.parse(text)

    def given(self, text: str) -> Sample:
        return Sample.parse(text)

    def require(self, architecture: Sample) -> None:
        """Nothing: `network` knows what fits."""

    def require_found(self, sample: Mapping[str, Any]) -> None:
        """Nothing: any sample is trained."""

    def described(self, network: Any, data: Any, training: str) -> dict[str, Any]:
        return {"training": training}

    def trained(self, weights: Path, architecture: Sample, settings: Any, data: Any) -> nn.Module:
        from nni_darts.training.weights import fill

        return fill(self.network(architecture, settings, data), weights)
