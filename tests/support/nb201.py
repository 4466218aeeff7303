"""The small network of NAS-Bench-201 that the reference numbers are of, and its names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.nas_bench_201 import LABELS, OPERATIONS
from nni_darts.supernet.mixture import Mixture, mixture_of
from search_spaces import NasBench201


def our_name(theirs: str) -> str:
    """The name in our supernet of a parameter or buffer of the reference's search network."""

    def edge(match: re.Match[str]) -> str:
        target, source, op = map(int, match.groups())
        return f"nodes.{target - 1}.edges.{source}.{OPERATIONS[op]}"

    name = re.sub(r"edges\.(\d)<-(\d)\.(\d)", edge, theirs)
    return name.replace(".op.", ".").replace("lastact.", "last.")


class Network:
    """Our supernet (C 8, N 1) in float64, in training mode, with the reference's weights.

    Biases of convolutions in cells are left out: the normalisation after them takes them away.

    Args:
        state: `init_state_dict` of a file of golden/variants.
        alphas: (6, 5).
        relaxation: how the alphas become weights.
        fused: see `UnrolledDARTS`.
        arguments: further ones of `NasBench201`, such as track_running_stats (SDARTS, DrNAS).
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        alphas: Tensor,
        relaxation: Any = "softmax",
        fused: bool = True,
        **arguments: Any,
    ) -> None:
        self.strategy = UnrolledDARTS(relaxation=relaxation, fused=fused)
        with torch.random.fork_rng():
            torch.set_default_dtype(torch.float64)
            try:
                space = NasBench201(8, 1, **arguments)
                self.supernet = self.strategy.mutate_model(space)
            finally:
                torch.set_default_dtype(torch.float32)
        ours = self.supernet.state_dict()
        theirs = {our_name(name): value for name, value in state.items()}
        missing = [n for n in ours if n not in theirs and not n.endswith("_arch_alpha")]
        foreign = [n for n in theirs if n not in ours and not _left_out(n)]
        assert not missing, missing
        assert not foreign, foreign
        self.supernet.load_state_dict({n: theirs[n] for n in ours if n in theirs}, strict=False)
        self.alphas: list[nn.Parameter] = [
            self.strategy._arch_parameters[label] for label in LABELS.values()
        ]
        for alpha, row in zip(self.alphas, alphas, strict=True):
            alpha.data = row.clone()
        mixture = mixture_of(self.supernet)
        assert mixture is not None
        assert list(map(id, mixture.alphas)) == list(map(id, self.alphas))
        self.mixture: Mixture = mixture
        """Its rows have the order of the reference's alphas: `mixture.held(weights)` computes with
        given weights (6, 5)."""
        self.parameters: dict[str, Tensor] = dict(self.supernet.named_parameters())

    def parameter(self, theirs: str) -> Tensor:
        """Our parameter by the reference's name."""
        return self.parameters[our_name(theirs)]

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.supernet(x), y)


def _left_out(name: str) -> bool:
    """True for the alphas and for biases of convolutions on edges."""
    of_edge = re.fullmatch(r"cells\.\d+\.nodes\..*\.nor_conv_\dx\d\.1\.bias", name)
    return name in ("arch_parameters", "_arch_parameters") or of_edge is not None
