"""The closing of a search: what its selection does after the last epoch, within the same training.

Its epochs follow those of the search, so that they are reported, kept in checkpoints and gone on
with as these are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from nni_darts.search.selection import Closing, Selection
from nni_darts.search.validation import SupernetValidation, require_validation, required
from nni_darts.supernet.architectures import by_label
from nni_darts.supernet.mixed import Ranked
from nni_darts.supernet.mixture import mixture_of

KEY = "nni_darts_selection"
"""Key of a checkpoint: what the selection has decided."""


class ClosingEpochs:
    """The closing of a search by its selection; nothing happens where the selection has none."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.closing: Closing | None = None
        self._searched: int | None = None
        self._rates: list[float] = []
        self._resumed: Mapping[str, Any] | None = None
        self._seed = 0

    @property
    def state(self) -> dict[str, Any]:
        """Decisions, in plain values; empty if there are none."""
        # Labels of NNI's are texts of a class of their own, which a checkpoint cannot hold.
        return {} if self.closing is None else json.loads(json.dumps(self.closing.state))

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a state, from the next `prepare` on."""
        self._resumed = state

    def rank(self, supernet: Any, limit: int) -> Ranked:
        """The ranking of the selection, by what it has decided."""
        return (self.selection if self.closing is None else self.closing.rank)(supernet, limit)

    def search_epochs(self, module: Any) -> int | None:
        """Epochs of the search without the closing; None or -1 where it has no end."""
        epochs: int | None = module.trainer.max_epochs
        return epochs if self._searched is None else self._searched

    def epoch(self, module: Any) -> int | None:
        """Epoch of the closing, from 0; None before it."""
        if self._searched is None or module.trainer.current_epoch < self._searched:
            return None
        return int(module.trainer.current_epoch) - self._searched

    def prepare(self, module: Any) -> None:
        """Lengthen the training by the closing, before its loop begins.

        Raises:
            ValueError: the selection does not go with the space or the trainer.
        """
        trainer = module.trainer
        if self._searched is None:
            self._seed = torch.initial_seed()
            self.closing = self.selection.closing(module.model, self._seed)
            if self.closing is None:
                return
            if trainer.max_epochs in (None, -1):
                raise ValueError(
                    f"{type(self.selection).__name__} begins after the last epoch, and the search "
                    "has none; give the trainer max_epochs, or take selection strongest"
                )
            if mixture_of(module.model) is None:
                raise ValueError(
                    f"{type(self.selection).__name__} restricts mixing weights, and those of the "
                    "space are none of a relaxation's; leave NNI's softmax in place"
                )
            self._searched = trainer.max_epochs
            trainer.fit_loop.max_epochs = self._searched + self.closing.epochs
            self._rates = [g.get("initial_lr", g["lr"]) for g in self._groups(module)]
        if self.closing is not None and self._resumed is not None:
            self.closing.restore(self._resumed)
            self._restrict(module)
            self._resumed = None

    def require(self, module: Any) -> None:
        """Raise ValueError where the selection lacks validation, once the loaders are there."""
        if self.closing is not None:
            require_validation(module)

    def look(self, logged: Mapping[str, Any]) -> None:
        """Raise ValueError where a validation did not log what the selection is by."""
        if self.closing is not None:
            required({name: 0 for name in logged if name.startswith("val")}, self.closing.metric)

    def rehearse(self, supernet: Any, logged: Mapping[str, Any]) -> None:
        """Raise ValueError where the selection does not go with a space, or with its validation."""
        self.closing = self.selection.closing(supernet, 0)
        self.look(logged)

    def begin_epoch(self, module: Any) -> None:
        """Decide at the start of an epoch of the closing."""
        epoch = self.epoch(module)
        if self.closing is None or epoch is None:
            return
        if epoch == 0:
            self._begin_afresh(module)
        self._decide(module, epoch)

    def finish(self, module: Any) -> None:
        """Decide what is left after the last epoch."""
        if self.closing is not None and not self.closing.done:
            self._decide(module, self.closing.epochs)

    @property
    def unfinished(self) -> bool:
        """True if something is left to decide after the last epoch."""
        return self.closing is not None and not self.closing.done

    def _decide(self, module: Any, epoch: int) -> None:
        assert self.closing is not None
        self.closing.at(epoch, SupernetValidation(module, self._seed))
        self._restrict(module)

    def _restrict(self, module: Any) -> None:
        assert self.closing is not None
        alphas, mixture = by_label(module.model), mixture_of(module.model)
        if mixture is not None:
            restrictions = self.closing.restrictions
            mixture.restrict((alphas[label], each) for label, each in restrictions.items())

    def _begin_afresh(self, module: Any) -> None:
        assert self.closing is not None
        given = self.closing.learning_rate
        for optimizer in self._optimizers(module):
            optimizer.state.clear()
        for group, rate in zip(self._groups(module), self._rates, strict=True):
            # By `initial_lr` a recipe that sets the rate itself, batch by batch, knows its scale.
            group["lr"] = group["initial_lr"] = rate / 10 if given is None else given

    def _groups(self, module: Any) -> Iterator[dict[str, Any]]:
        for optimizer in self._optimizers(module):
            yield from optimizer.param_groups

    @staticmethod
    def _optimizers(module: Any) -> list[Any]:
        """The optimisers of the weights."""
        every = module.trainer.optimizers
        return [o for o in every if not getattr(o, "is_arch_optimizer", False)]
