"""Spaces that cannot be relaxed are refused before anything is trained, in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nni
import pytest
import spaces
from nni.mutable import ensure_frozen
from nni.nas.hub.pytorch import NasBench101
from nni.nas.nn.pytorch import MutableDropout
from torch import Tensor, nn

from nni_darts import UnrolledDARTS


class Dropping(spaces.Classifying):
    def make_body(self) -> nn.Module:
        rate = nni.choice("rate", [0.1, 0.5])
        return nn.Sequential(nn.Conv2d(3, 4, 1), MutableDropout(rate))


class OwnWidth(spaces.Plain):
    """A choice of the space itself, which no module of NNI's takes."""

    def __init__(self) -> None:
        super().__init__()
        width = self.add_mutable(nni.choice("width", [2, 4]))
        self.wide = nn.Conv2d(3, ensure_frozen(width), 1)


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (NasBench101, "NasBench101 cannot be relaxed: .* is a NasBench101CellConstraint"),
        (Dropping, r"body.1 \(MutableDropout\) depends on rate, .* mutation_hooks"),
        (OwnWidth, "OwnWidth depends on width, but nothing"),
        (Plain, "takes an nni.nas.nn.pytorch.ModelSpace, got Plain"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_refused(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(TypeError, match=match) as caught:
        UnrolledDARTS().mutate_model(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("space", spaces.SPACES.values(), ids=spaces.SPACES.keys())
def test_taken(space: Callable[[], Any]) -> None:
    UnrolledDARTS().mutate_model(space())
