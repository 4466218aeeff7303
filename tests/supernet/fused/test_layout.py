from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from nni_darts.supernet.fused import layout


def images(channels: int = 3, height: int = 6, width: int = 8) -> torch.Tensor:
    torch.manual_seed(0)
    x = torch.randn(2, channels, height, width, dtype=torch.float64)
    return layout.channels_last(x)


def test_repeated_channels() -> None:
    x = images()
    assert torch.equal(layout.repeated(x, 3), torch.cat([x, x, x], 1))


def test_a_dilated_convolution_is_a_plain_one_on_the_phases() -> None:
    x = images()
    w = torch.randn(6, 1, 3, 3, dtype=torch.float64)
    y = F.conv2d(layout.phases(x, 2), w, padding=1, groups=6)
    nothing = x.new_zeros(2, 2, 6, 8, 3)
    got = layout.add_phases(nothing, y)
    expected = F.conv2d(torch.cat([x, x], 1), w, padding=2, dilation=2, groups=6)
    for edge in range(2):
        one = got[edge].permute(0, 3, 1, 2)
        torch.testing.assert_close(one, expected[:, 3 * edge : 3 * edge + 3])


def test_by_edge_and_back() -> None:
    y = images(6)
    for edge, part in enumerate(layout.by_edge(y, 2)):
        assert torch.equal(part.permute(0, 3, 1, 2), y[:, 3 * edge : 3 * edge + 3])


def test_what_a_factorized_reduce_reads() -> None:
    for size in (6, 7):
        x = images(height=size, width=size)
        identity = nn.Conv2d(3, 3, 1, 2, bias=False).double()
        with torch.no_grad():
            identity.weight.copy_(torch.eye(3)[:, :, None, None])
        odd = size % 2
        shifted = F.pad(x, (0, odd, 0, odd))[:, :, 1:, 1:]
        assert torch.equal(layout.every_second(x), identity(x))
        assert torch.equal(layout.shifted(x), identity(shifted))
