"""A task of its own: vectors of 8 numbers are classified. All that a new task has to bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nni_darts._common.fields import BatchSize, Epochs, Features
from nni_darts._common.metric import ACCURACY
from nni_darts.genotypes.sample import Sample
from nni_darts.tasks.base import Task
from nni_darts.tasks.components import Component
from nni_darts.tasks.samples import SampleTask
from nni_darts.tasks.settings import Evaluate, Run, Search, Select, Settings, Training

if TYPE_CHECKING:
    import torch
    from torch import nn

FEATURES = 8
CLASSES = 3


class ToyTask(SampleTask):
    """Vectors, around a centre for each class."""

    name = "vectors"
    metric = ACCURACY
    counted = ""
    data = ("vectors",)
    for_space = ("num_features", "num_classes")

    @property
    def settings(self) -> type[ToySettings]:
        return ToySettings

    @property
    def run(self) -> type[ToyRun]:
        return ToyRun

    @property
    def training(self) -> type[ToyTraining]:
        return ToyTraining

    @property
    def search_data(self) -> Any:
        import toy_parts

        return toy_parts.Vectors

    @property
    def training_data(self) -> Any:
        import toy_parts

        return toy_parts.TrainingVectors

    def check_data(self, component: Component, data: Any) -> None:
        """Nothing can be wrong: the vectors are drawn."""

    def check_test(self, component: Component, data: Any) -> None:
        """Nothing can be wrong: the vectors are drawn."""

    def tiny_batch(self, data: Any, examples: int, loaded: bool) -> Any:
        x, y = next(iter(data.train_dataloader()))
        return x[:examples], y[:examples]

    def search_module(self, settings: ToySearch, data: Any) -> Any:
        import toy_parts

        return toy_parts.SearchModule(settings)

    def network(self, architecture: Sample, settings: ToyTraining, data: Any) -> nn.Module:
        import toy_parts

        space = toy_parts.ToySpace(data.num_features, data.num_classes, settings.width)
        return space.freeze(dict(architecture.choices))

    def training_module(
        self, network: nn.Module, settings: ToyTraining, described: dict[str, Any]
    ) -> Any:
        import toy_parts

        return toy_parts.TrainingModule(network, settings, described)

    def count(self, network: nn.Module, data: Any) -> dict[str, int]:
        return {"params": sum(weight.numel() for weight in network.parameters())}

    def test(self, network: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
        import toy_parts

        return toy_parts.test(network, data, device)


TOY = ToyTask()


class ToySearch(Search):
    epochs: Epochs = 3
    batch_size: BatchSize = 32


class ToyTraining(Training):
    task: ClassVar[Task] = TOY
    for_data: ClassVar[tuple[str, ...]] = ("batch_size",)

    epochs: Epochs = 4
    batch_size: BatchSize = 32
    width: Features = 12

    @property
    def network(self) -> str:
        return f"{self.width} units"


class ToySelect(ToyTraining, Select):
    pass


class ToyEvaluate(ToyTraining, Evaluate):
    pass


class ToySettings(Settings):
    task: ClassVar[Task] = TOY

    search: ToySearch | None = None
    select: ToySelect | None = None
    evaluate: ToyEvaluate | None = None


class ToyRun(ToySettings, Run):
    pass
