from __future__ import annotations

from typing import Any

import nni
import pytest
import spaces
import torch
from nni.nas.nn.pytorch import (
    MutableBatchNorm2d,
    MutableConv2d,
    MutableLayerNorm,
    MutableLinear,
    MutableMultiheadAttention,
)
from nni.nas.space import model_context
from torch import Tensor, nn

from nni_darts import UnrolledDARTS


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = nni.choice("width", [4, 8])
        self.norm = MutableLayerNorm(width, elementwise_affine=False)
        self.attention = MutableMultiheadAttention(width, num_heads=2, bias=False)
        self.out = MutableConv2d(width, 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.flatten(2).permute(2, 0, 1))
        mixed, _ = self.attention(tokens, tokens, tokens)
        return self.out(mixed.permute(1, 2, 0).reshape(x.shape))


class Bare(spaces.Classifying):
    """Operations without bias and scale, and a setting that is changed once all is made."""

    def make_body(self) -> nn.Module:
        width = nni.choice("width", [4, 8])
        norms = (
            MutableBatchNorm2d(width, affine=False),
            MutableBatchNorm2d(width, track_running_stats=False),
        )
        for norm in norms:
            norm.eps = 0.5
        return nn.Sequential(
            MutableConv2d(3, width, nni.choice("kernel", [1, 3]), padding=1, bias=False),
            *norms,
            Attention(),
        )

    def __init__(self) -> None:
        super().__init__()
        features = nni.choice("features", [3, 5])
        self.head = nn.Sequential(
            MutableLinear(4, features, bias=False), MutableLinear(features, spaces.CLASSES)
        )


@pytest.mark.parametrize("space", [Bare, spaces.Valued])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_chosen_has_its_part_of_the_weights(space: Any, dtype: torch.dtype) -> None:
    made = space().to(dtype)
    supernet = UnrolledDARTS().mutate_model(made).to(dtype).eval()
    x = torch.randn(2, 3, 6, 6, dtype=dtype)
    labels = supernet.simplify()
    samples = [{label: m.values[i] for label, m in labels.items()} for i in (0, -1)]
    for sample in samples:
        instance = supernet.freeze(sample)
        assert not instance.training
        with model_context(sample):
            rebuilt = space().to(dtype)
        rebuilt.load_state_dict(instance.state_dict())
        assert torch.equal(instance(x), rebuilt.eval()(x))
        instance(x).square().sum().backward()
        assert all(p.grad is not None for p in instance.parameters())
