"""The curvature of L_val in alpha, measured at the end of an epoch of a search."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from nni_darts.search.eigenvalue import Eigenvalue
from nni_darts.search.side_effects import unlogged
from nni_darts.supernet.mixture import batched

EIGENVALUE = "eigenvalue"
"""Metric that the measurement is logged as."""


class Curvature:
    """Measurements of a search, on the last validation batches of an epoch.

    Args:
        eigenvalue: how it is measured, and when.
    """

    def __init__(self, eigenvalue: Eigenvalue) -> None:
        self.eigenvalue = eigenvalue
        self._batches: deque[Any] = deque(maxlen=eigenvalue.batches)

    def begin_epoch(self, module: Any) -> None:
        """Forget the last measurement: the trainer keeps what an earlier epoch has logged."""
        module.trainer.callback_metrics.pop(EIGENVALUE, None)

    def after_step(self, module: Any, val_batch: Any, batch_idx: int) -> None:
        """Log the largest eigenvalue of d2_alpha L_val if a step was the last of its epoch."""
        if not self.eigenvalue.due(module.trainer.current_epoch):
            return
        self._batches.append((val_batch, batch_idx))
        learns = any(alpha.requires_grad for alpha in module.arch_parameters())
        if not module.trainer.is_last_batch or not learns:
            return

        def val_loss() -> Tensor:
            return torch.stack([module.loss(*batch) for batch in self._batches]).mean()

        expected: Any = nullcontext()
        mixture = module.method.mixture
        if mixture is not None and mixture.relaxation.draws:
            # What is reported is never drawn; and not every draw has a second derivative.
            rows = batched(mixture.relaxation.probabilities, mixture.alphas)
            expected = mixture.held(rows)
        with unlogged(module.training_module), expected:
            value = self.eigenvalue(module.bilevel(val_loss, val_loss))
        self._batches.clear()
        module.log(EIGENVALUE, value, on_step=False, on_epoch=True)
