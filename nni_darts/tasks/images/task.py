"""Images: networks of convolutional cells that classify them. Loads neither torch nor NNI."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from nni_darts._common.metric import ACCURACY
from nni_darts.genotypes.cell import PRIMITIVES
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.random_cells import draw
from nni_darts.tasks.cells import CellTask

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nni_darts.tasks.components import Component
    from nni_darts.tasks.images.data import BilevelData
    from nni_darts.tasks.images.search_module import SearchRecipe
    from nni_darts.tasks.images.settings import ImageRun, ImageSearch, ImageSettings, ImageTraining
    from nni_darts.tasks.images.training_data import TrainingData
    from nni_darts.tasks.images.training_module import TrainingRecipe
    from search_spaces.darts_network import DartsNetwork

_KNOWN = {"num_classes": "of the labels", "in_channels": "of the images"}
"""Attributes of data that networks must know, and what each is a property of."""


class ImageTask(CellTask):
    """The classification of square images.

    Data of a user's own is a `LightningDataModule` with `num_classes`, to be trained on also with
    `in_channels`; where it has `image_size`, multiply-adds are counted.
    """

    name = "images"
    metric = ACCURACY
    cells = ("normal", "reduce")
    primitives = PRIMITIVES
    counted = (
        "multiply-adds of one image: one for each multiplication by a weight of a convolution or a "
        "linear layer; normalisation, pooling, additions and the auxiliary head are not counted"
    )
    states = "0 and 1 are the outputs of the two cells before, the others are nodes"
    data_in_words = "digits, cifar10, ..."
    for_space = tuple(_KNOWN)

    def data_seeds(self, component: Component) -> list[str]:
        return [f"of the split of the data {component.arguments.get('seed', 0)}"]

    def drawn(self, count: int, seed: int) -> list[Genotype]:
        return draw(count, seed, primitives=self.primitives)

    @property
    def settings(self) -> type[ImageSettings]:
        from nni_darts.tasks.images.settings import ImageSettings

        return ImageSettings

    @property
    def run(self) -> type[ImageRun]:
        from nni_darts.tasks.images.settings import ImageRun

        return ImageRun

    @property
    def training(self) -> type[ImageTraining]:
        from nni_darts.tasks.images.settings import ImageTraining

        return ImageTraining

    @property
    def search_data(self) -> type[BilevelData]:
        from nni_darts.tasks.images.data import BilevelData

        return BilevelData

    @property
    def training_data(self) -> type[TrainingData]:
        from nni_darts.tasks.images.training_data import TrainingData

        return TrainingData

    def check_data(self, component: Component, data: Any) -> None:
        from nni_darts.tasks.images.data_sets import check

        check(component.name, component.arguments.get("root"))

    def check_test(self, component: Component, data: Any) -> None:
        from nni_darts.tasks.images.data_sets import check_test

        check_test(component.name, component.arguments.get("root"))

    def lacks(self, data: Any) -> list[str]:
        return [] if hasattr(data, "num_classes") else ["an attribute num_classes"]

    def lacks_for_training(self, data: Any) -> list[str]:
        return [
            f"an attribute {name}, {what}"
            for name, what in _KNOWN.items()
            if not hasattr(data, name)
        ]

    def not_taken(self, settings: ImageTraining, parameters: Collection[str]) -> list[str]:
        return ["cutout"] if settings.cutout and "cutout" not in parameters else []

    def validates(self, data: Any) -> bool:
        from pytorch_lightning import LightningDataModule

        own = type(data).val_dataloader is not LightningDataModule.val_dataloader
        return own and data.val_dataloader() not in (None, [], ())

    def tiny_batch(self, data: Any, examples: int, loaded: bool) -> Any:
        from nni_darts.tasks.images import examination

        return examination.tiny_batch(data, examples, loaded)

    def too_large_to_try(self, batch: Any) -> str | None:
        from nni_darts.tasks.images import examination

        return examination.too_large_to_try(batch)

    def search_module(self, settings: ImageSearch, data: Any) -> SearchRecipe:
        from nni_darts.tasks.images.search_module import SearchRecipe

        return SearchRecipe(settings, data.num_classes)

    def misshapen(self, network: nn.Module, batch: Any, data: Any) -> list[str]:
        shape, wanted = tuple(network(batch[0]).shape), (len(batch[0]), data.num_classes)
        if shape == wanted:
            return []
        return [f"{wanted} numbers, one for each image and class of the data, got {shape}"]

    def network(self, architecture: Genotype, settings: ImageTraining, data: Any) -> DartsNetwork:
        from nni_darts.tasks.images import networks

        return networks.fresh_network(architecture, settings, data)

    def training_module(
        self, network: DartsNetwork, settings: ImageTraining, described: dict[str, Any]
    ) -> TrainingRecipe:
        from nni_darts.tasks.images.training_module import TrainingRecipe

        return TrainingRecipe(network, settings, described)

    def input_of(self, data: Any) -> dict[str, Any]:
        from nni_darts.tasks.images import networks

        return networks.input_of(data)

    def count(self, network: DartsNetwork, data: Any) -> dict[str, int]:
        from nni_darts.tasks.images import networks

        return networks.count(network, data)

    def sizes(self, genotype: Genotype) -> list[str]:
        from nni_darts.tasks.images import networks

        return networks.sizes(genotype)

    def test_settings(self, batch_size: int) -> ImageTraining:
        return self.training(batch_size=batch_size, val_share=0, cutout=0)

    def misfits(self, trained: Mapping[str, Any], data: Any) -> list[str]:
        from nni_darts.tasks.images import networks

        return networks.misfits(trained, data)

    def test(self, network: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
        from nni_darts.tasks.images import examination

        return examination.test(network, data, device)


IMAGES = ImageTask()
