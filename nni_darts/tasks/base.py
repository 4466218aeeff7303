"""`Task`: what networks are trained for, and all that a run needs to know of it.

A new task is a subclass in a package of its own. An experiment file names it by its data: one of
`Task.data`, or `data: {name: ..., task: package.module.Class}`. Neither torch nor NNI is imported
here, nor by the module of a task: what needs them is imported within the methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nni_darts._common.metric import Metric

if TYPE_CHECKING:
    import torch
    from pytorch_lightning import LightningDataModule, LightningModule
    from torch import nn

    from nni_darts.tasks.components import Component
    from nni_darts.tasks.settings import Run, Settings, Training


class Architecture(Protocol):
    """Result of a search that a network is made of: a `Genotype`, or a `Sample`."""

    @property
    def digest(self) -> str:
        """A short name, the same for the same architecture."""

    def to_json(self) -> str:
        """One line, which `Task.architecture` reads."""


class Task(ABC):
    """Purpose that networks are trained for. Stateless: two tasks of one class are equal.

    "Data" is a data module, of the task's own class or a user's. `CellTask` and `SampleTask` have
    what hangs on the kind of its architectures.
    """

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    # In words, and for tables

    @property
    @abstractmethod
    def name(self) -> str:
        """The task in a word, as in `the data is images`."""

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """Metric that networks are compared by."""

    @property
    @abstractmethod
    def counted(self) -> str:
        """Definition of its networks' multiply-adds, in words; empty where none are counted."""

    @property
    def states(self) -> str:
        """Meaning of the numbers in a genotype, in words; empty where it has none."""
        return ""

    @property
    def data(self) -> Sequence[str]:
        """Names of data sets that are of this task."""
        return ()

    @property
    def data_in_words(self) -> str:
        """Data sets of the task, for a line of help."""
        return ", ".join(self.data)

    def data_seeds(self, component: Component) -> Sequence[str]:
        """Seeds that an experiment's data is drawn with and what each is for, in words."""
        return ()

    # Settings

    @property
    @abstractmethod
    def settings(self) -> type[Settings]:
        """The class of an experiment's settings; its fields hold those of the three stages."""

    @property
    @abstractmethod
    def run(self) -> type[Run]:
        """The class of a trial's parameters, a subclass of `settings`."""

    @property
    @abstractmethod
    def training(self) -> type[Training]:
        """The class of the settings of a training without an experiment."""

    # Data

    @property
    @abstractmethod
    def search_data(self) -> type[LightningDataModule]:
        """The data of a search: made with `name`, the search's settings `for_data`, and arguments.

        Besides `train_dataloader` and `val_dataloader` it may have `alpha_dataloader`, for alpha.
        """

    @property
    @abstractmethod
    def training_data(self) -> type[LightningDataModule]:
        """The data of a training: made as `search_data`, with `run_seed` besides."""

    @abstractmethod
    def check_data(self, component: Component, data: Any) -> None:
        """Look at data by name without loading it; ValueError or OSError for what is wrong."""

    @abstractmethod
    def check_test(self, component: Component, data: Any) -> None:
        """Look whether data by name can be tested on, as far as `check_data` would see it."""

    def lacks(self, data: Any) -> list[str]:
        """Describe what a data module lacks that every run needs."""
        return []

    def lacks_for_training(self, data: Any) -> list[str]:
        """Describe what a data module lacks that a network must know of it."""
        return []

    def not_taken(self, settings: Any, parameters: Collection[str]) -> list[str]:
        """Settings of a training that data must not ignore and does.

        Args:
            settings: of the training.
            parameters: that the class of the data module takes.
        """
        return []

    def validates(self, data: Any) -> bool:
        """True if data that is set up has a part to validate on."""
        return True

    @abstractmethod
    def tiny_batch(self, data: Any, examples: int, loaded: bool) -> Any:
        """A batch of so few examples to try a step on; None where their shape is not known.

        Args:
            data: of a search.
            examples: how many.
            loaded: whether batches can be taken from it.
        """

    def too_large_to_try(self, batch: Any) -> str | None:
        """Reason why a step on a tiny batch would take too long on the CPU; None without one."""
        return None

    # The search

    @property
    def for_space(self) -> Sequence[str]:
        """Names of the attributes of data that spaces take as arguments of the same names."""
        return ()

    @property
    def needed_by_space(self) -> Sequence[str]:
        """Names out of `for_space` that every space for this task takes."""
        return ()

    @abstractmethod
    def search_module(self, settings: Any, data: Any) -> Any:
        """The module (NNI's `LightningModule`) of a search, made of the settings of the search."""

    def misshapen(self, network: nn.Module, batch: Any, data: Any) -> list[str]:
        """Describe how the output of a network for a batch differs from what the search needs."""
        return []

    # Architectures

    @abstractmethod
    def architecture(self, text: str) -> Architecture:
        """The architecture that was stored as JSON. ValueError for any other text."""

    @abstractmethod
    def given(self, text: str) -> Architecture:
        """The architecture that a user's text names. ValueError for any other."""

    @abstractmethod
    def require(self, architecture: Any) -> None:
        """ValueError where networks of this task are not made of the architecture."""

    @abstractmethod
    def require_found(self, sample: Mapping[str, Any]) -> None:
        """ValueError where what a search finds, a sample of its space, is not trained here."""

    def drawn(self, count: int, seed: int) -> Sequence[Architecture]:
        """Random architectures that networks can be tried with; none where it knows none."""
        return ()

    # The network

    @abstractmethod
    def network(self, architecture: Any, settings: Any, data: Any) -> nn.Module:
        """The fresh network of a training; ValueError where the three do not fit."""

    @abstractmethod
    def training_module(
        self, network: Any, settings: Any, described: dict[str, Any]
    ) -> LightningModule:
        """The module that trains a network, which is its attribute `network`.

        It logs `train_loss`, the metric's `train`, and on validation data `val_loss` and the
        metric's `val`; `figures()` gives more of an epoch by name; `on_save_checkpoint` puts
        `described` under `nni_darts.training.checkpoint.KEY`.
        """

    @abstractmethod
    def described(self, network: Any, data: Any, training: str) -> dict[str, Any]:
        """Description of its network that a checkpoint holds, in plain values.

        Args:
            network: to be trained.
            data: that it is trained on.
            training: its settings (JSON).
        """

    @abstractmethod
    def trained(self, weights: Path, architecture: Any, settings: Any, data: Any) -> nn.Module:
        """The network of a checkpoint in evaluation mode; CheckpointError where there is none."""

    @abstractmethod
    def count(self, network: Any, data: Any) -> dict[str, int]:
        """Size of a network: `params` and, where they are counted, `multiply_adds`."""

    # The test

    @property
    def test_batch(self) -> int:
        """The batch size of a test without a training."""
        return 96

    def test_settings(self, batch_size: int) -> Training:
        """Settings to take data with for a test without a training."""
        return self.training(batch_size=batch_size)

    def misfits(self, trained: Mapping[str, Any], data: Any) -> list[str]:
        """Describe how data, loaded or not, differs from the data that a network was trained on.

        Args:
            trained: what the checkpoint says of the network's arguments and input.
            data: to be tested on.
        """
        return []

    @abstractmethod
    def test(self, network: nn.Module, data: Any, device: torch.device) -> dict[str, float]:
        """The metric (its `test`) and `test_loss` on the test data, each example once."""
