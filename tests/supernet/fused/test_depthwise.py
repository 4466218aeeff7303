from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nni_darts.supernet.fused.depthwise import Geometry, correlate, depthwise

GEOMETRIES = [
    Geometry(kernel, stride, dilation)
    for kernel in (1, 3, 5, 7)
    for stride in (1, 2)
    for dilation in (1, 2)
]


def library(x: Tensor, w: Tensor, g: Geometry) -> Tensor:
    return F.conv2d(x, w, None, g.stride, g.padding, g.dilation, len(w))


def example(height: int = 8, width: int = 7) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(3, 1, 7, 7, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("size", [(8, 7), (3, 3), (1, 4)])
def test_convolution_and_its_derivatives_of_any_order(
    geometry: Geometry, size: tuple[int, int]
) -> None:
    x, kernel = example(*size)
    w = kernel[:, :, : geometry.kernel, : geometry.kernel]

    def thrice(y: Tensor) -> list[Tensor]:
        first = torch.autograd.grad(y.sin().sum(), [x, kernel], create_graph=True)
        second = torch.autograd.grad(
            sum(g.sin().sum() for g in first), [x, kernel], create_graph=True
        )
        third = torch.autograd.grad(sum(g.sin().sum() for g in second), [x, kernel])
        return [y, *first, *second, *third]

    ours, theirs = thrice(depthwise(x, w, geometry)), thrice(library(x, w, geometry))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_the_weight_gradient_by_hand(
    geometry: Geometry, memory_format: torch.memory_format
) -> None:
    # w[c, i, j] = sum over images and pixels of x under tap (i, j) times y
    k, s, d, p = geometry.kernel, geometry.stride, geometry.dilation, geometry.padding
    x = example()[0].detach().contiguous(memory_format=memory_format)
    y = library(x, x.new_ones(3, 1, k, k), geometry)
    padded = F.pad(x, (p,) * 4)
    height, width = y.shape[2:]
    expected = torch.empty(3, 1, k, k, dtype=x.dtype)
    for i in range(k):
        for j in range(k):
            under = padded[:, :, i * d :, j * d :][:, :, ::s, ::s][:, :, :height, :width]
            expected[:, 0, i, j] = (under * y).sum((0, 2, 3))
    torch.testing.assert_close(correlate(x, y, geometry), expected, rtol=1e-12, atol=1e-12)


def test_it_keeps_only_what_the_wanted_gradients_need() -> None:
    x, kernel = example()
    w = kernel[:, :, :3, :3].detach()
    y = depthwise(x, w, Geometry(3))
    # Without a gradient for the kernel, the images need not be kept.
    assert y.grad_fn is not None
    kept = [t for t in y.grad_fn.saved_tensors if t is not None]  # type: ignore[attr-defined]
    assert [t.shape for t in kept] == [w.shape]


def test_under_autocast_both_passes_meet_one_type() -> None:
    x, kernel = example()
    w = kernel[:, :, :5, :5]
    with torch.autocast("cpu", torch.bfloat16):
        y = depthwise(x.float(), w.float(), Geometry(5))
    assert y.dtype == torch.bfloat16
    got = torch.autograd.grad(y.float().square().sum(), [x, kernel])
    exact = torch.autograd.grad(library(x, w, Geometry(5)).square().sum(), [x, kernel])
    for one, other in zip(got, exact, strict=True):
        assert (one - other).norm() < 0.02 * other.norm()
