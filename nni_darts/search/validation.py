"""Validation of a supernet between its epochs, with some of its choices restricted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.data import extract_batch_size
from torch import Tensor, nn
from torchmetrics import Metric

from nni_darts.search import random_state
from nni_darts.search.selection import METRICS
from nni_darts.search.side_effects import replaced, uncounted
from nni_darts.supernet.architectures import by_label
from nni_darts.supernet.mixture import mixture_of
from nni_darts.supernet.restriction import Restriction


class SupernetValidation:
    """The user's validation step on the trainer's validation batches, and what it logs.

    Norms work by the statistics of the batch, as when the weights are trained: running ones would
    be those of another network. The published code keeps the whole network in training mode, and
    lets running statistics drift; here other modules are as in a validation, and buffers, metrics
    and the random state are afterwards as if nothing had been.

    Args:
        module: of the search, with its trainer.
        seed: of what the supernet draws, the same in each validation.
    """

    def __init__(self, module: Any, seed: int) -> None:
        self.module = module
        self.seed = seed

    def __call__(
        self, restrictions: Mapping[str, Restriction], metric: str, batches: int | None = None
    ) -> float:
        """See `nni_darts.search.selection.Validation`."""
        mixture = mixture_of(self.module.model)
        assert mixture is not None, "was looked at before the search"
        alphas = by_label(self.module.model)
        pairs = [(alphas[label], each) for label, each in restrictions.items()]
        with mixture.restricted(pairs):
            logged = self._logged(batches)
        name, sign = METRICS[metric]
        score = sign * required(logged, metric)[name]
        return -math.inf if math.isnan(score) else score

    def _logged(self, most: int | None) -> dict[str, float]:
        module, trainer = self.module, self.module.trainer
        user, precision = module.training_module, trainer.precision_plugin
        found = _Logged()
        with _as_it_was(user), replaced(user, "log", found.log), torch.no_grad():
            torch.manual_seed(self.seed)
            user.on_validation_epoch_start()
            for i, batch in enumerate(islice(loader(trainer), _limit(trainer, most))):
                batch = module._on_before_batch_transfer(precision.convert_input(batch))
                batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
                found.batch = batch
                with precision.val_step_context():
                    user.validation_step(batch, i)
            found.batch = None
            user.on_validation_epoch_end()
            return found.means()


def loader(trainer: Any) -> Any:
    """The validation loader of a trainer, one; None where it validates nothing."""
    found = trainer.val_dataloaders
    if isinstance(found, list | tuple):
        found = found[0] if len(found) == 1 else None
    return found if any(trainer.num_val_batches) else None


def require_validation(module: Any) -> None:
    """Raise ValueError where a search has no validation that a selection could decide by."""
    step = type(module.training_module).validation_step
    if step is LightningModule.validation_step:
        raise ValueError(
            f"the selection validates, and {type(module.training_module).__name__} has no "
            "validation_step; give it one that logs val_acc or val_loss, or take strongest"
        )
    if loader(module.trainer) is None:
        raise ValueError(
            "the selection validates, and the search has no validation data besides what alpha is "
            "learnt on; give the evaluator a validation loader, and the trainer no "
            "limit_val_batches=0, or take selection strongest"
        )


def required(logged: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    """Return what was logged; ValueError where the metric is not there."""
    name, _ = METRICS[metric]
    if name not in logged:
        there = ", ".join(logged) or "nothing"
        others = [other for other, (key, _) in METRICS.items() if key in logged]
        advice = f"choose metric: {others[0]}, or log it" if others else "log it"
        raise ValueError(
            f"the selection is by {metric}, and the validation step logs no {name} but {there}; "
            f"{advice}"
        )
    return logged


def _limit(trainer: Any, most: int | None) -> int | None:
    limits = [n for n in (most, *trainer.num_val_batches) if n is not None and n != math.inf]
    return int(min(limits)) if limits else None


class _Logged:
    """Logs of a validation: means over the examples, as Lightning takes them."""

    def __init__(self) -> None:
        self.batch: Any = None
        self._sums: dict[str, tuple[Any, float]] = {}
        self._metrics: dict[str, Any] = {}

    def log(
        self, name: str, value: Any, *args: Any, batch_size: int | None = None, **kwargs: Any
    ) -> None:
        if isinstance(value, Metric):
            self._metrics[name] = value
            return
        size = 1 if self.batch is None else batch_size or extract_batch_size(self.batch)
        total, count = self._sums.get(name, (0.0, 0.0))
        value = value.detach().double() if isinstance(value, Tensor) else value
        self._sums[name] = total + value * size, count + size

    def means(self) -> dict[str, float]:
        means = {name: float(total / count) for name, (total, count) in self._sums.items()}
        return means | {name: float(metric.compute()) for name, metric in self._metrics.items()}


@contextmanager
def _as_it_was(user: nn.Module) -> Iterator[None]:
    """Context in which a module validates, and after which it is as before."""
    modes = {each: each.training for each in user.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in user.buffers()]
    state = random_state.get_state()
    with uncounted(user.modules()):
        for each in user.modules():
            each.training = isinstance(each, nn.modules.batchnorm._NormBase)
            if isinstance(each, Metric):
                each.reset()
        try:
            yield
        finally:
            random_state.set_state(state)
            for each, training in modes.items():
                each.training = training
            for buffer, value in buffers:
                buffer.copy_(value)
