"""Operations that run together on several edges, side by side in their channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nni_darts.supernet.fused import layout
from nni_darts.supernet.fused.depthwise import Geometry, depthwise
from nni_darts.supernet.fused.plan import Chains, Reductions, Shape


class Runs:
    """Chains that start at one activated state; their shared inputs are made once."""

    def __init__(self, x: Tensor, k: int, kernels: Mapping[Shape, Sequence[Tensor]]) -> None:
        self.x = x
        self.k = k
        self.kernels = kernels
        self._starts: dict[str, Tensor] = {}
        # On the CPU the library is slow at dilated depthwise convolutions.
        self._rewrites = x.device.type == "cpu"

    def phased(self, chains: Chains) -> bool:
        even = self.x.shape[2] % 2 == 0 and self.x.shape[3] % 2 == 0
        return self._rewrites and even and self._only(chains) == Geometry(0, 1, 2)

    def chain(self, chains: Chains, p: Tensor) -> Tensor:
        start = "repeated"
        if self.phased(chains):
            start = "phases"
        elif self._rewrites and self._only(chains) == Geometry(0, 2, 2):
            start = "every_second"
        if start not in self._starts:
            self._starts[start] = _START[start](self.x, self.k)
        y = self._starts[start]
        last = len(chains.kernels) - 1
        stages = zip(chains.kind.stages, chains.kernels, strict=True)
        for i, (stage, (depth, point)) in enumerate(stages):
            geometry = stage.geometry if start == "repeated" else Geometry(stage.geometry.kernel)
            y = depthwise(y if i == 0 else F.relu_(y), self._kernel(depth), geometry)
            y = F.conv2d(y, self._kernel(point), groups=self.k)
            y = norm(y, stage.eps, p if i == last else None)
        return y

    def _kernel(self, place: tuple[Shape, int]) -> Tensor:
        shape, position = place
        return self.kernels[shape][position]

    @staticmethod
    def _only(chains: Chains) -> Geometry | None:
        """Stride and dilation of a chain of one stage; None for a longer one."""
        first, *others = chains.kind.stages
        return None if others else Geometry(0, first.geometry.stride, first.geometry.dilation)


_START: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "repeated": layout.repeated,
    "phases": layout.phases,
    "every_second": lambda x, k: layout.repeated(layout.every_second(x), k),
}


def reduced(
    reductions: Reductions,
    x: Tensor,
    k: int,
    p: Tensor,
    kernels: Mapping[Shape, Sequence[Tensor]],
) -> Tensor:
    """Reduce by two 1x1 convolutions, each half of an edge's channels: (N, k * C, H', W')."""
    halves = []
    for part, (shape, position) in zip(
        (layout.every_second(x), layout.shifted(x)), reductions.kernels, strict=True
    ):
        y = F.conv2d(layout.channels_last(part), kernels[shape][position]).permute(0, 2, 3, 1)
        halves.append(y.unflatten(3, (k, -1)))
    y = torch.stack(halves, 4).flatten(3).permute(0, 3, 1, 2)
    return norm(y, reductions.kind.eps, p)


def norm(x: Tensor, eps: float, scale: Tensor | None = None) -> Tensor:
    """Tensor normalised by the batch, times `scale` (C,)."""
    return F.batch_norm(x, None, None, scale, None, True, 0.0, eps)
