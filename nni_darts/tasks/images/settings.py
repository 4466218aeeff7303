"""Settings of an experiment on images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nni_darts._common.fields import (
    BatchSize,
    Cells,
    Channels,
    Devices,
    Epochs,
    Flag,
    NotNegative,
    Number,
    Pixels,
    Positive,
    Share,
)
from nni_darts.tasks.base import Task
from nni_darts.tasks.images.task import IMAGES
from nni_darts.tasks.settings import Evaluate, Run, Search, Select, Settings, Training


class ImageSearch(Search):
    """Settings of the search; the defaults are the paper's for CIFAR-10 (3.1.1 and A.1.1)."""

    learning_rate_min: NotNegative = 0.001
    """Learning rate at the end of the cosine; the reference's value, the paper says 0."""
    momentum: Share = 0.9
    fused: Flag = True
    """True if the edges of a cell run together; false gives the same results, slowly."""
    recompute: Flag = False
    """True if cells are computed again in the backward pass: less memory for more time."""

    @property
    def own(self) -> dict[str, Any]:
        return {"fused": self.fused, "recompute": self.recompute}


class ImageTraining(Training):
    """Settings of a training from scratch; by default as the paper evaluates on CIFAR-10 (A.2)."""

    task: ClassVar[Task] = IMAGES
    for_data: ClassVar[tuple[str, ...]] = ("batch_size", "val_share", "cutout")

    channels: Channels = 36
    """Channels of each node of the first cell."""
    num_cells: Cells = 20
    stem: Literal["cifar", "imagenet"] = "cifar"
    epochs: Epochs = 600
    batch_size: BatchSize = 96
    """Batch size on each device."""
    learning_rate: Positive = 0.025
    schedule: Literal["cosine", "step"] = "cosine"
    learning_rate_min: NotNegative | None = None
    """Learning rate at the end of the cosine; 0 by default."""
    learning_rate_decay: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Factor of the learning rate per epoch, for steps; 0.97 by default, as for ImageNet."""
    momentum: Share = 0.9
    weight_decay: NotNegative = 3e-4
    gradient_clip: Positive | None = 5.0
    auxiliary_weight: NotNegative = 0.4
    """Weight of the auxiliary head's loss; 0 for none. The head is made for images of 32x32
    (ImageNet's: 224x224)."""
    drop_path: Share = 0.2
    """Probability of drop path at the end, growing linearly over the epochs; 0 for none."""
    cutout: Pixels = 16
    """Side of the square of cutout in pixels; 0 for none."""
    label_smoothing: Share = 0.0
    val_share: Share = 0.1
    """Share of training images to validate on after every epoch; 0 for none: then all are
    trained on, and the last epoch counts instead of the best."""
    devices: Devices = 1
    """GPUs, or processes on the CPU, that train together."""

    @model_validator(mode="after")
    def _schedule(self) -> ImageTraining:
        if self.schedule == "cosine" and self.learning_rate_decay is not None:
            raise ValueError("learning_rate_decay is for schedule: step; the cosine has none")
        if self.schedule == "step" and self.learning_rate_min is not None:
            raise ValueError("learning_rate_min is for schedule: cosine; the steps have none")
        return self

    @property
    def processes(self) -> int:
        return self.devices

    @property
    def network(self) -> str:
        return f"{self.channels} channels, {self.num_cells} cells"

    @property
    def validates_on_its_own(self) -> bool:
        return self.val_share > 0


class ImageSelect(ImageTraining, Select):
    """Settings of `Select` on images."""

    epochs: Epochs = 100
    val_share: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    """Share of validation images; by default w's half of the search trains, alpha's validates."""


class ImageEvaluate(ImageTraining, Evaluate):
    """Settings of `Evaluate` on images."""


class ImageSettings(Settings):
    """Settings of an experiment on images, as the tuner and the trials need them."""

    task: ClassVar[Task] = IMAGES

    search: ImageSearch | None = None
    select: ImageSelect | None = None
    evaluate: ImageEvaluate | None = None


class ImageRun(ImageSettings, Run):
    """Parameters of one trial on images."""
