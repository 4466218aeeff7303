"""One tiny step of a search on the CPU, to find what would end it in its first second.

Nothing is downloaded. The batch has two images, or words, of the shape that the data will have;
those of a data module of the user's own are taken from it, if it has them already.
"""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from nni.nas.evaluator.pytorch import Lightning, Trainer
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import RawFormatModelSpace
from pytorch_lightning import LightningDataModule

from nni_darts._common.validation import SettingsError
from nni_darts.runs import build
from nni_darts.runs.stages import strategy_of
from nni_darts.search.closing_epochs import ClosingEpochs
from nni_darts.search.parts import SELECTIONS
from nni_darts.tasks.settings import Run
from nni_darts.training import network_size

SECONDS = 60.0
PARAMETERS = 50_000_000
"""Highest number of parameters of a supernet that is rehearsed."""
EXAMPLES = 2


class _TooLong(BaseException):
    """Timeout that a library would not catch."""


class _One:
    """Loader of one batch."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        yield self.batch


class _Tiny(LightningDataModule):
    """Data of one batch, to train on and to measure on."""

    def __init__(self, batch: Any) -> None:
        super().__init__()
        self.batch = batch

    def train_dataloader(self) -> Any:
        return _One(self.batch)

    def val_dataloader(self) -> Any:
        return _One(self.batch)

    def alpha_dataloader(self) -> Any:
        return _One(self.batch)


def search(run: Run) -> str | None:
    """Build the supernet of a search and take one step; returns the reason if that was left out.

    Raises:
        SettingsError: the step fails, or no batch can be made of the data.
    """
    data, space = build.parts(run, load=False)
    loaded = fits(data)
    batch = run.task.tiny_batch(data, EXAMPLES, loaded)
    if batch is None:
        return "the data is not there yet"
    if (size := network_size.parameters(space)) > PARAMETERS:
        return f"it has {size:,} parameters, more than {PARAMETERS:,}"
    if (reason := run.task.too_large_to_try(batch)) is not None:
        return reason
    try:
        with _limited(), _undisturbed():
            _step(run, data, space, batch)
    except _TooLong:
        return f"it takes more than {SECONDS:.0f} seconds on this machine"
    return None


def fits(data: Any) -> bool:
    """True if the data is there; SettingsError if it does not give one batch."""
    with build.problems_of_the_data():
        try:
            data.setup("fit")
        except (FileNotFoundError, RuntimeError):  # not downloaded yet
            return False
        loader = data.train_dataloader()
        count = len(loader) if hasattr(loader, "__len__") else None
        if count == 0:
            name = getattr(data, "name", None) or type(data).__name__
            raise SettingsError(
                [
                    f"data: {name} gives no batch to train on; lower batch_size, "
                    f"{getattr(data, 'batch_size', 'which it sets itself')}"
                ]
            )
    return True


def _step(run: Run, data: Any, space: Any, batch: Any) -> None:
    settings = run.search
    assert settings is not None
    one: dict[str, Any] = {"warmup_epochs": 0, "cuda_graphs": False, "selection": "strongest"}
    if settings.eigenvalue is not None:
        one["eigenvalue"] = settings.eigenvalue.model_copy(update={"every": 1, "stop": None})
    strategy = strategy_of(settings.model_copy(update=one))
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    recipe = run.task.search_module(settings, data)
    evaluator = Lightning(recipe, trainer, datamodule=_Tiny(batch))
    closing = ClosingEpochs(SELECTIONS.make(settings.parts["selection"]))
    try:
        strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
        closing.rehearse(strategy.supernet, trainer.callback_metrics)
        _, best = strategy.top_k(1)[0]
        chosen = space.freeze(best)
        with torch.no_grad():
            misshapen = run.task.misshapen(chosen.eval(), batch, data)
    except SettingsError:
        raise
    except Exception as error:  # whatever the user's space, or a library, has to say
        what = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(
            [
                f"space: a step of the search fails, on {_shape(batch)}: "
                f"{type(error).__name__}: {what}"
            ]
        ) from None
    if misshapen:
        raise SettingsError([f"space: the network must give {what}" for what in misshapen])


def _shape(batch: Any) -> str:
    shapes = (" x ".join(map(str, x.shape)) for x in _tensors(batch))
    return f"a batch of {next(shapes, '?')}"


def _tensors(batch: Any) -> Iterable[torch.Tensor]:
    return [x for x in batch if isinstance(x, torch.Tensor)]


@contextmanager
def _limited() -> Iterator[None]:
    """Context in which _TooLong is raised once `SECONDS` are over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Context in which nothing is logged, and whose end restores the random state."""
    disabled = logging.root.manager.disable
    deterministic = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
            torch.use_deterministic_algorithms(deterministic)
