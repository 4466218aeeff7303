"""A search whose validation a selection can decide by."""

from __future__ import annotations

from typing import Any

import spaces
import torch
from nni.nas.nn.pytorch import LayerChoice
from torch import Tensor, nn

from nni_darts.supernet.mixed import MixedNode, Node
from nni_darts.supernet.nodes import Nodes
from search_spaces import DartsCNN


class Recipe(spaces.Recipe):
    """Logs what images' searches log, and has a learning rate that falls."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.log("val_loss", nn.functional.cross_entropy(logits, y))
        self.log("val_acc", (logits.argmax(1) == y).float().mean())

    def configure_optimizers(self) -> Any:
        sgd = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        return [sgd], [torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 2)]


def cells() -> DartsCNN:
    return DartsCNN(
        4, 3, spaces.CLASSES, num_nodes=2, primitives=["none", "skip_connect", "max_pool_3x3"]
    )


class SharedCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)

        def edge(node: int, source: int) -> LayerChoice:
            operations = {
                "none": Zero(),
                "conv": nn.Conv2d(4, 4, 3, padding=1),
                "small": nn.Conv2d(4, 4, 1),
            }
            return LayerChoice(operations, label=f"normal_{node}_{source}")

        self.nodes = Nodes(
            [Node([edge(node, s) for s in range(node)], 2, f"normal_{node}") for node in (2, 3)]
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.nodes([x, torch.tanh(x)])[-1]


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * x


class Celled(spaces.Classifying):
    """A cell of two nodes; a frozen one has the weights of the space."""

    def make_body(self) -> nn.Module:
        return SharedCell()

    def extra_oneshot_hooks(self, strategy: Any) -> list[Any]:
        return [MixedNode.mutate]
