"""Our supernet of partial channels with the numbers of the authors' own: golden/variants."""

from __future__ import annotations

from typing import Any

import golden
import torch
from torch import Tensor, nn
from torch.optim import SGD

from nni_darts import UnrolledDARTS
from nni_darts.search.bilevel_step import BilevelStep
from search_spaces import DartsCNN

KINDS = ("normal", "reduce")


def our_name(theirs: str) -> str:
    """The name in our supernet of a parameter of the authors' search network."""
    name = golden.our_name(theirs).split(".")
    if "edges" in name:
        name.insert(name.index("edges") + 2, "operation")
    return ".".join(name)


class Reference:
    """Our supernet in float64 with the authors' initial weights, alphas and betas."""

    def __init__(self, fused: bool) -> None:
        self.golden = golden.load("variants/pc_darts.pt")
        config = self.golden["config"]
        torch.set_default_dtype(torch.float64)
        try:
            space = DartsCNN(
                config["C"],
                config["layers"],
                config["classes"],
                partial_channels=config["k"],
                edge_weights=True,
            )
            self.strategy = UnrolledDARTS(fused=fused)
            self.supernet = self.strategy.mutate_model(space)
        finally:
            torch.set_default_dtype(torch.float32)
        parameters = dict(self.supernet.named_parameters())
        self.weights = [parameters[our_name(name)] for name in self.golden["param_names"]]
        self.put(self.golden["init_state_dict"])
        self.alphas: dict[str, list[nn.Parameter]] = {}
        self.betas: dict[str, list[nn.Parameter]] = {}
        known = self.strategy._arch_parameters
        for kind in KINDS:
            self.betas[kind] = [known[f"{kind}_{target}"] for target in range(2, 6)]
            self.alphas[kind] = [
                known[f"{kind}_{target}_{source}"]
                for target in range(2, 6)
                for source in range(target)
            ]
            for alpha, row in zip(
                self.alphas[kind], self.golden[f"alphas_{kind}"].double(), strict=True
            ):
                alpha.data = row.clone()
            betas = self.golden[f"betas_{kind}"].double().split([2, 3, 4, 5])
            for beta, row in zip(self.betas[kind], betas, strict=True):
                beta.data = row.clone()
        self.batch = self.golden["batch"]

    def put(self, state: dict[str, Tensor]) -> None:
        for weight, name in zip(self.weights, self.golden["param_names"], strict=True):
            weight.data.copy_(state[name])

    @property
    def learnt(self) -> list[nn.Parameter]:
        """Alphas and betas: normal, reduce, normal, reduce."""
        rows = [*self.alphas["normal"], *self.alphas["reduce"]]
        return [*rows, *self.betas["normal"], *self.betas["reduce"]]

    def expected(self, gradients: dict[str, Tensor]) -> Tensor:
        """The authors' four gradients in one row, in the order of `learnt`."""
        names = ("alphas_normal", "alphas_reduce", "betas_normal", "betas_reduce")
        return torch.cat([gradients[name].flatten() for name in names])

    def loss(self, half: str) -> Tensor:
        logits = self.supernet(self.batch[f"{half}_x"])
        return nn.functional.cross_entropy(logits, self.batch[f"{half}_y"])

    def step(self, optimizer: Any) -> BilevelStep:
        return BilevelStep(
            lambda: self.loss("train"),
            lambda: self.loss("val"),
            self.weights,
            self.learnt,
            optimizer,
            [self.supernet],
        )

    def sgd(self, lr: float, momentum: Tensor | None = None) -> SGD:
        config = self.golden["config"]
        optimizer = SGD(self.weights, lr, config["momentum"], weight_decay=config["weight_decay"])
        if momentum is not None:
            sizes = [weight.numel() for weight in self.weights]
            for weight, row in zip(self.weights, momentum.split(sizes), strict=True):
                optimizer.state[weight]["momentum_buffer"] = row.view_as(weight).clone()
        return optimizer


def row(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
