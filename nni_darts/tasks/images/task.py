"""What runs on images are made of. See `nni_darts.tasks.base.Task.parts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import LightningDataModule
from torch import nn
from torchmetrics.classification import MulticlassAccuracy

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.random_cells import draw
from nni_darts.tasks.images.data import BilevelData
from nni_darts.tasks.images.data_sets import check, check_test
from nni_darts.tasks.images.search_module import SearchRecipe
from nni_darts.tasks.images.settings import ImageSearch, ImageTraining
from nni_darts.tasks.images.training_data import TrainingData
from nni_darts.tasks.images.training_module import TrainingRecipe
from nni_darts.tasks.settings import Component, Search, Training
from nni_darts.training import network_size
from search_spaces.darts_network import DartsNetwork

SEARCH_DATA = BilevelData
TRAINING_DATA = TrainingData
FOR_SPACE = {"num_classes": "of the labels", "in_channels": "of the images"}
"""What the data knows and spaces take, and what it is."""
TEST_BATCH = 96
__all__ = [
    "FOR_SPACE",
    "SEARCH_DATA",
    "TEST_BATCH",
    "TRAINING_DATA",
    "alone",
    "check_data",
    "check_tested",
    "count",
    "draw",
    "input_of",
    "misfits",
    "network",
    "require_known",
    "require_output",
    "require_taken",
    "search_recipe",
    "test",
    "tiny_batch",
    "training_recipe",
    "validates",
]

_AUXILIARY = (
    "; the auxiliary head is made for 32x32 (ImageNet's stem: 224x224): auxiliary_weight 0 is none"
)


def check_data(component: Component, module: Any) -> None:
    """What is wrong with a data set of ours, as far as that shows without loading it."""
    check(component.name, component.arguments.get("root"))


def check_tested(component: Component, module: Any) -> None:
    """Whether a data set of ours has test data, as far as `check_data` would see it."""
    check_test(component.name, component.arguments.get("root"))


def require_known(component: Component, module: Any, names: Mapping[str, str] = FOR_SPACE) -> None:
    """SettingsError where a data module lacks what networks must know of it."""
    for name, what in names.items():
        if not hasattr(module, name):
            raise SettingsError([f"data: {component.name} must have an attribute {name}, {what}"])


def validates(module: Any) -> bool:
    """Whether a data module that is set up has validation data."""
    own = type(module).val_dataloader is not LightningDataModule.val_dataloader
    return own and module.val_dataloader() not in (None, [], ())


def image_size(module: Any) -> int | None:
    """Side of the square images in pixels; None where a data module of the user's does not say."""
    size = getattr(module, "image_size", None)
    return size if isinstance(size, int) else None


def input_of(module: Any) -> dict[str, Any]:
    """What a network trained on a data module takes, as far as it says."""
    size = image_size(module)
    known: dict[str, Any] = {} if size is None else {"image_size": size}
    for name in ("mean", "std"):
        if (value := getattr(module, name, None)) is not None:
            known[name] = [float(v) for v in value]
    return known


def misfits(trained: Mapping[str, Any], module: Any) -> list[str]:
    """Where the data is not such as a network was trained on; each a sentence on the network.

    Args:
        trained: the network's arguments and its `input_of`.
        module: the data, which need not be loaded.
    """
    ours = {
        "num_classes": module.num_classes,
        "in_channels": module.in_channels,
        "image_size": image_size(module),
    }
    problems = []
    for name, value in ours.items():
        if value is None or name not in trained or trained[name] == value:
            continue
        hint = "choose the data that it was trained on"
        if name == "image_size":
            hint += f", or give --image-size {trained[name]}"
        problems.append(
            f"was trained with {name} {trained[name]}, {getattr(module, 'name', 'the data')} has "
            f"{value}; {hint}"
        )
    return problems


def search_recipe(settings: ImageSearch, data: Any) -> SearchRecipe:
    return SearchRecipe(settings, data.num_classes)


def network(genotype: Genotype, settings: ImageTraining, data: Any) -> DartsNetwork:
    """The fresh network of a training.

    Raises:
        ValueError: the genotype, the settings or the images do not fit.
    """
    try:
        made = DartsNetwork(
            genotype,
            channels=settings.channels,
            num_cells=settings.num_cells,
            num_classes=data.num_classes,
            auxiliary=settings.auxiliary_weight > 0,
            stem=settings.stem,
            in_channels=data.in_channels,
        )
        if (size := image_size(data)) is not None:
            network_size.require_fit(made, size, data.in_channels)
    except ValueError as error:
        hint = "" if settings.auxiliary_weight == 0 else _AUXILIARY
        raise ValueError(f"{error}{hint}") from None
    return made


def training_recipe(
    network: DartsNetwork, settings: ImageTraining, described: dict[str, Any]
) -> pl.LightningModule:
    return TrainingRecipe(network, settings, described)


def count(network: DartsNetwork, data: Any) -> dict[str, int]:
    """Parameters and, where the size of the images is known, multiply-adds; no auxiliary head."""
    with torch.device("meta"):
        bare = DartsNetwork(network.genotype, **{**network.arguments, "auxiliary": False})
    counts = {"params": network_size.parameters(bare)}
    if (size := image_size(data)) is not None:
        channels = network.arguments["in_channels"]
        counts["multiply_adds"] = network_size.multiply_adds(bare, size, channels)
    return counts


def alone(batch_size: int) -> Training:
    """Settings to take data with for a test, without a training."""
    return ImageTraining(batch_size=batch_size, val_share=0, cutout=0)


def test(network: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
    """Accuracy in [0, 1] and mean cross entropy on the test data, each image once, in float32."""
    accuracy = MulticlassAccuracy(data.num_classes, average="micro").to(device)
    total, count = 0.0, 0
    with torch.inference_mode():
        for x, y in data.test_dataloader():
            x, y = x.to(device), y.to(device)
            logits = network(x)
            accuracy.update(logits, y)
            total += float(nn.functional.cross_entropy(logits, y, reduction="sum"))
            count += len(y)
    return {"test_acc": float(accuracy.compute()), "test_loss": total / count}


def tiny_batch(module: Any, examples: int, loaded: bool) -> Any:
    """A batch of so few images with labels; None where their shape is not known.

    Args:
        module: the data.
        examples: how many.
        loaded: whether batches can be taken from it.
    """
    size = image_size(module)
    if loaded and not isinstance(module, BilevelData):
        batch = next(iter(module.train_dataloader()), None)
        if not (isinstance(batch, list | tuple) and len(batch) == 2):
            return None
        least, most = int(batch[1].min()), int(batch[1].max())
        if least < 0 or most >= module.num_classes:
            raise SettingsError(
                [
                    f"data: labels must be from 0 to {module.num_classes - 1}, as num_classes is "
                    f"{module.num_classes}, got {least if least < 0 else most}"
                ]
            )
        return tuple(part[:examples] for part in batch)
    if size is None or not hasattr(module, "in_channels"):
        return None
    images = torch.randn(examples, module.in_channels, size, size)
    # The last class is the one that a network with too few outputs has not.
    return images, torch.linspace(0, module.num_classes - 1, examples).long()


def require_output(network: nn.Module, batch: Any, module: Any) -> None:
    """SettingsError where a network does not give a number for each class of the data."""
    shape, wanted = tuple(network(batch[0]).shape), (len(batch[0]), module.num_classes)
    if shape != wanted:
        raise SettingsError(
            [
                f"space: the network must give {wanted} numbers, one for each image and class of "
                f"the data, got {shape}"
            ]
        )


def require_taken(settings: Training | Search, parameters: Mapping[str, Any], name: str) -> None:
    """SettingsError where data of a user's own would ignore what it must not."""
    if getattr(settings, "cutout", 0) and "cutout" not in parameters:
        raise SettingsError([f"cutout: {name} takes no such argument; set cutout: 0"])
