"""End of a search whose loss has become sharp, with the architectures of an earlier epoch.

The search ends by itself: a trial that NNI's assessor stops is killed, and has no result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import pytorch_lightning as pl

from nni_darts.search.early_stop import EarlyStop, Turn, Value

Best: TypeAlias = "list[tuple[float, str]]"
"""Best architectures after an epoch, best first, as (score, JSON text)."""


class GoBack(pl.Callback):
    """Callback that ends a search by the rule of Robust-DARTS, after the report of the epoch.

    What it knows is in every checkpoint: a search that is resumed ends where it would have, and one
    that was killed after its end trains no further.

    Args:
        rule: for the metric `eigenvalue`.
        best: gives the best architectures after the epoch that is over.
    """

    def __init__(self, rule: EarlyStop, best: Callable[[], Best]) -> None:
        self.rule = rule
        self._best = best
        self._values: list[Value] = []
        self._kept: dict[int, Best] = {}
        self.turn: Turn | None = None

    @property
    def chosen(self) -> Best:
        """The best architectures of the epoch that the search goes back to.

        Raises:
            LookupError: it does not go back.
        """
        if self.turn is None:
            raise LookupError("the search does not go back")
        return self._kept[self.turn.back]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.turn is not None:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value, epoch = trainer.callback_metrics.get("eigenvalue"), trainer.current_epoch
        if value is None or not math.isfinite(value):
            return
        self._values = [*self._values, Value(epoch, float(value))][-self.rule.needed :]
        self._kept[epoch] = self._best()
        # No others can be gone back to any more.
        self._kept = {value.epoch: self._kept[value.epoch] for value in self._values}
        self.turn = self.rule.reached(self._values)
        if self.turn is not None:
            trainer.should_stop = True
            print(
                f"stopped after epoch {epoch + 1}: {self.turn.text}; it goes back to epoch "
                f"{self.turn.back + 1}",
                flush=True,
            )

    def state_dict(self) -> dict[str, Any]:
        # Lists and numbers, which a checkpoint is read with alone.
        return {"values": [list(value) for value in self._values], "kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._values = [Value(int(epoch), float(number)) for epoch, number in state_dict["values"]]
        self._kept = {
            int(epoch): [(float(score), str(text)) for score, text in best]
            for epoch, best in state_dict["kept"].items()
        }
        self.turn = self.rule.reached(self._values)
