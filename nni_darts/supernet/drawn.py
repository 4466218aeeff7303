"""Layers of a supernet that run only the operation that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedLayer
from torch import nn
from torch.utils._pytree import tree_map_only

from nni_darts.supernet.mixture import Drawn, MixingWeights


class DrawnLayer(DifferentiableMixedLayer):
    """NNI's mixed layer where one operation is drawn: h_k * o_k(x).

    It computes all of them where mixing weights of another kind are held.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        drawn = drawn_of(self)
        if drawn is None:
            return super().forward(*args, **kwargs)
        y = self[self.names[drawn.index]](*args, **kwargs)
        if drawn.rest is None:
            return self._reduction([y], [drawn.weight])
        ones = tree_map_only(torch.Tensor, torch.ones_like, y)
        return self._reduction([y, ones], [drawn.weight, drawn.rest])


def run_drawn_only(supernet: nn.Module) -> None:
    """Let the mixed layers of a supernet run only what is drawn; in place."""
    for module in supernet.modules():
        if type(module) is DifferentiableMixedLayer and isinstance(module._softmax, MixingWeights):
            module.__class__ = DrawnLayer


def drawn_of(layer: Any) -> Drawn | None:
    """The operation that is drawn for a layer in this pass; None where all are mixed."""
    softmax = layer._softmax
    return softmax.mixture.drawn(layer._arch_alpha) if type(softmax) is MixingWeights else None


def all_drawn(layers: Sequence[Any]) -> list[Drawn] | None:
    """The operation that is drawn for each layer, if each runs only that."""
    if not all(type(layer) is DrawnLayer for layer in layers):
        return None
    found = [drawn_of(layer) for layer in layers]
    drawn = [one for one in found if one is not None]
    return drawn if len(drawn) == len(layers) else None
