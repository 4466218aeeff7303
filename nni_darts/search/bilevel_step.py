"""One step of the search as every hypergradient sees it, and the passes that it may run.

The losses are closures that run a forward pass of the model as it stands. Within `passes` the
weights may point to other storage and the buffers are copies; the originals are never written, so
that they are back bit for bit afterwards, also after an exception. All passes start from one random
state, which is restored too: passes at different weights meet the same dropout masks, those of the
real step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nni_darts._common.checks import function, instance, several
from nni_darts.search import random_state as randomness

Loss = Callable[[], Tensor]
"""Runs a forward pass and returns a scalar loss with its graph."""


@dataclass(frozen=True)
class BilevelStep:
    """Both losses of a step, what is learnt on each, and the weight optimiser about to step.

    Args:
        train_loss: L_train(w, alpha) on the batch of the coming weight step.
        val_loss: L_val(w, alpha) on a validation batch.
        weights: w in a fixed order, each a leaf that requires a gradient and is held by
            `optimizer`; disjoint from the alphas.
        alphas: the architecture parameters in a fixed order, leaves that require a gradient.
        optimizer: the weight optimiser, about to step; it is read, never changed.
        modules: the modules whose buffers (batch-norm statistics) the passes must leave alone.

    Raises:
        TypeError: an argument is of another kind.
    """

    train_loss: Loss
    val_loss: Loss
    weights: Sequence[Tensor]
    alphas: Sequence[Tensor]
    optimizer: Optimizer
    modules: Collection[nn.Module] = ()

    def __post_init__(self) -> None:
        function("train_loss", self.train_loss)
        function("val_loss", self.val_loss)
        several("weights", self.weights, Tensor, "tensors")
        several("alphas", self.alphas, Tensor, "tensors")
        instance("optimizer", self.optimizer, Optimizer, "an optimiser of torch")
        several("modules", self.modules, nn.Module, "modules")

    @contextmanager
    def passes(self) -> Iterator[Callable[[Loss], Tensor]]:
        """Lend out the weights, buffers and random state; on leaving they are as on entry.

        Yields a function that evaluates a closure from the buffers and the random state of the
        entry.
        """
        originals = [weight.data for weight in self.weights]
        slots = [
            (module._buffers, name, buffer)
            for root in self.modules
            for module in root.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        random_state = randomness.get_state()

        def run(loss: Loss) -> Tensor:
            copies = {id(buffer): buffer.clone() for _, _, buffer in slots}
            for buffers, name, buffer in slots:
                buffers[name] = copies[id(buffer)]
            randomness.set_state(random_state)
            return loss()

        try:
            yield run
        finally:
            self.put(originals)
            for buffers, name, buffer in slots:
                buffers[name] = buffer
            randomness.set_state(random_state)

    @contextmanager
    def constant_weights(self) -> Iterator[None]:
        """Keep and compute nothing for gradients of the weights within."""
        try:
            for weight in self.weights:
                weight.requires_grad_(False)
            yield
        finally:
            for weight in self.weights:
                weight.requires_grad_(True)

    def put(self, values: Sequence[Tensor]) -> None:
        """Let each weight stand for other storage; what it stood for before is not written."""
        for weight, value in zip(self.weights, values, strict=True):
            weight.data = value
        # Autocast keeps low-precision copies of the weights, which would now be those of before.
        torch.clear_autocast_cache()


def derivatives(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs: Sequence[Tensor] | None = None,
    *,
    again: bool = False,
) -> tuple[Tensor, ...]:
    """First derivatives, detached; zero where an input was not used.

    Args:
        outputs: a scalar, or tensors that `grad_outputs` are multiplied with.
        inputs: what is differentiated in.
        grad_outputs: one per output, of its shape.
        again: keep the graph for a further call.
    """
    if not isinstance(outputs, Tensor):
        assert grad_outputs is not None
        pairs = [(o, g) for o, g in zip(outputs, grad_outputs, strict=True) if o.grad_fn]
        outputs, grad_outputs = [o for o, _ in pairs], [g for _, g in pairs]
    if not (outputs.requires_grad if isinstance(outputs, Tensor) else outputs):
        return tuple(torch.zeros_like(i) for i in inputs)
    found = torch.autograd.grad(
        outputs, inputs, grad_outputs, retain_graph=again, allow_unused=True
    )
    return tuple(
        torch.zeros_like(i) if g is None else g.detach() for i, g in zip(inputs, found, strict=True)
    )
