"""The reference numbers of ../shared/golden, and how their names map to ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts.genotypes.genotype import PRIMITIVES
from search_spaces import DartsCNN

SHARED = Path(__file__).parents[3] / "shared"


def load(name: str) -> dict[str, Any]:
    path = SHARED / "golden" / name
    if not path.exists():
        pytest.skip(f"{path} is not here: the reference numbers do not ship with the project")
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    return torch.load(path, weights_only=True)


def our_name(theirs: str) -> str:
    """The name in our supernet of a parameter of the reference's search network."""
    name = theirs.replace("stem.", "stem.both.")
    name = re.sub(r"preprocess(\d)\.(?:op\.)?", r"inputs.\1.", name)

    def operation(match: re.Match[str]) -> str:
        edge, op = int(match[1]), int(match[2])
        node = 0
        while edge >= 2 + node:
            edge -= 2 + node
            node += 1
        return f"nodes.{node}.edges.{edge}.{PRIMITIVES[op]}."

    name = re.sub(r"_ops\.(\d+)\._ops\.(\d+)\.(?:op\.)?", operation, name)
    return name.replace("conv_1", "even").replace("conv_2", "odd")


class Reference:
    """Our supernet, in float64, with the reference's initial weights and alphas."""

    def __init__(self, file: str, smooth: bool = False) -> None:
        self.golden = load(file)
        config = self.golden["config"]
        torch.set_default_dtype(torch.float64)
        try:
            space = DartsCNN(config["C"], config["layers"], config["num_classes"])
            if smooth:
                smoothen(space)
            self.strategy = UnrolledDARTS()
            self.supernet = self.strategy.mutate_model(space)
        finally:
            torch.set_default_dtype(torch.float32)
        self.parameters = dict(self.supernet.named_parameters())
        self.weights = [self.parameters[our_name(name)] for name in self.golden["param_names"]]
        for weight, name in zip(self.weights, self.golden["param_names"], strict=True):
            weight.data.copy_(self.golden["init_state_dict"][name])
        self.alphas = [
            self.strategy._arch_parameters[f"{kind}_{target}_{source}"]
            for kind in ("normal", "reduce")
            for target in range(2, 6)
            for source in range(target)
        ]
        rows = torch.cat(self.golden["alpha_init"])
        for alpha, row in zip(self.alphas, rows, strict=True):
            alpha.data = row.clone()

    def to(self, device: str, dtype: torch.dtype) -> None:
        """Move supernet and alphas; the parameters stay the same objects."""
        self.supernet.to(device, dtype)
        for alpha in self.alphas:
            alpha.data = alpha.data.to(device, dtype)

    def placed(self, tensor: Tensor) -> Tensor:
        """A tensor of a golden file where the supernet is; floats in its precision."""
        weight = self.weights[0]
        return tensor.to(weight.device, weight.dtype if tensor.is_floating_point() else None)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.supernet(x), y)


def smoothen(space: nn.Module) -> None:
    """Softplus for ReLU and average for max pooling, as in the `_smooth` file."""
    for module in space.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
            elif isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(3, child.stride, padding=1, count_include_pad=False)
                setattr(module, name, pool)
