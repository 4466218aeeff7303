"""A small smooth network, for everything that the weight optimiser can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.parts import HYPERGRADIENTS


def flat(tensors: Any) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def relative_error(got: Any, expected: Any) -> float:
    got, expected = flat(got), flat(expected)
    return float((got - expected).norm() / expected.norm())


class Smooth:
    """Mixtures of two layers, with buffers and, if asked for, dropout."""

    def __init__(self, dropout: float = 0.0) -> None:
        torch.manual_seed(0)
        self.first = nn.Linear(3, 4).double()
        self.second = nn.Linear(4, 2).double()
        self.norm = nn.BatchNorm1d(4).double()
        self.dropout = nn.Dropout(dropout)
        self.model = nn.ModuleList([self.first, self.second, self.norm, self.dropout])
        self.weights = list(self.model.parameters())
        self.alphas = [nn.Parameter(torch.randn(2).double()), nn.Parameter(torch.randn(2).double())]
        self.x = torch.randn(4, 6, 3).double()

    def put(self, weights: list[Tensor]) -> None:
        """Compute with other tensors for weights, with what they come from."""
        modules = [m for m in (self.first, self.second, self.norm) for _ in range(2)]
        for module, slot, w in zip(modules, ["weight", "bias"] * 3, weights, strict=True):
            module._parameters[slot] = w  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        mix = [a.softmax(0) for a in self.alphas]
        h = self.first(x)
        h = mix[0][0] * torch.tanh(h) + mix[0][1] * torch.sin(h)
        h = self.second(self.dropout(self.norm(h)))
        return mix[1][0] * h + mix[1][1] * h**2

    def train_loss(self) -> Tensor:
        return ((self.forward(self.x[0]) - self.x[1, :, :2]) ** 2).mean()

    def val_loss(self) -> Tensor:
        return ((self.forward(self.x[2]) - self.x[3, :, :2]) ** 2).mean()

    def hypergradient(
        self, name: str, optimizer: Any, clip: float | None = None
    ) -> tuple[Tensor, ...]:
        options = {} if clip is None else {"clip": clip}
        return HYPERGRADIENTS[name](**options)(self.step(optimizer))

    def step(self, optimizer: Any) -> BilevelStep:
        return BilevelStep(
            self.train_loss, self.val_loss, self.weights, self.alphas, optimizer, [self.model]
        )


OPTIMIZERS: dict[str, Callable[[list[Tensor]], Optimizer]] = {
    "plain": lambda w: SGD(w, lr=0.1),
    "decay": lambda w: SGD(w, lr=0.1, weight_decay=0.3),
    "momentum": lambda w: SGD(w, lr=0.1, momentum=0.9, weight_decay=0.1),
    "dampening": lambda w: SGD(w, lr=0.1, momentum=0.9, dampening=0.4),
    "nesterov": lambda w: SGD(w, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "maximize": lambda w: SGD(w, lr=0.1, momentum=0.5, maximize=True),
    "groups": lambda w: SGD(
        [{"params": w[:3]}, {"params": w[3:], "lr": 0.03, "momentum": 0.5, "nesterov": True}],
        lr=0.1,
    ),
    "adam": lambda w: Adam(w, lr=0.01),
    "adam, decay": lambda w: Adam(w, lr=0.01, weight_decay=0.3, betas=(0.5, 0.9)),
    "amsgrad": lambda w: Adam(w, lr=0.01, amsgrad=True, eps=1e-4),
    "adam, maximize": lambda w: Adam(w, lr=0.01, maximize=True, weight_decay=0.1),
    "adam, decoupled": lambda w: AdamW(w, lr=0.01, weight_decay=0.3),
    "adam, groups": lambda w: AdamW(
        [{"params": w[:3]}, {"params": w[3:], "lr": 0.03, "betas": (0.8, 0.99), "amsgrad": True}],
        lr=0.01,
    ),
}


def real_step(problem: Smooth, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    problem.train_loss().backward(inputs=problem.weights)
    optimizer.step()
