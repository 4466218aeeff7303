"""Partial channels and edge weights (PC-DARTS) against the numbers of the authors' own code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pc_darts import Reference, row
from torch import Tensor, nn

from nni_darts.search.hypergradient import Exact, FiniteDifference, FirstOrder
from nni_darts.supernet.partial_channels import PartialChannels

CLOSE = {"rtol": 1e-8, "atol": 1e-11}
SECOND = {"rtol": 1e-7, "atol": 1e-11}


@pytest.fixture(params=[False, True], ids=["plain", "fused"])
def reference(request: pytest.FixtureRequest) -> Reference:
    return Reference(request.param)


# The authors' supernet: C 8, 4 cells, K 4.


def test_forward_and_first_order(reference: Reference) -> None:
    golden = reference.golden
    logits = reference.supernet(reference.batch["val_x"])
    torch.testing.assert_close(logits, golden["logits_val"], **CLOSE)
    loss = reference.loss("val")
    torch.testing.assert_close(loss, golden["loss_val"], **CLOSE)
    weight_gradients = torch.autograd.grad(loss, reference.weights)
    torch.testing.assert_close(row(weight_gradients), golden["weight_grad_val"], **CLOSE)
    gradients = FirstOrder()(reference.step(reference.sgd(0.1)))
    expected = reference.expected(golden["first_order"])
    torch.testing.assert_close(row(gradients), expected, **CLOSE)


def test_weight_step(reference: Reference) -> None:
    config, expected = reference.golden["config"], reference.golden["weight_step"]
    optimizer = reference.sgd(config["lr"])
    loss = reference.loss("train")
    torch.testing.assert_close(loss.item(), expected["loss"].item(), **CLOSE)
    loss.backward(inputs=reference.weights)
    norm = nn.utils.clip_grad_norm_(reference.weights, config["clip"])
    torch.testing.assert_close(norm, expected["grad_norm_before_clip"], **CLOSE)
    optimizer.step()
    momentum = [optimizer.state[weight]["momentum_buffer"] for weight in reference.weights]
    torch.testing.assert_close(row(momentum), expected["momentum"], **CLOSE)
    names = reference.golden["param_names"]
    stepped = [expected["state_dict"][name] for name in names]
    torch.testing.assert_close(row(reference.weights), row(stepped), **CLOSE)


@pytest.mark.parametrize("momentum", [False, True], ids=["first step", "with momentum"])
def test_second_order(reference: Reference, momentum: bool) -> None:
    name = "second_order_with_momentum" if momentum else "second_order_no_momentum"
    golden = reference.golden[name]
    buffers = None
    if momentum:
        reference.put(reference.golden["weight_step"]["state_dict"])
        buffers = reference.golden["weight_step"]["momentum"]
    xi = golden["xi"].item()
    direct = reference.expected(golden["direct"])
    for hypergradient, whole, implicit in (
        (FiniteDifference(), "grad", "implicit_fd"),
        (Exact(), "grad_exact", "implicit_exact"),
    ):
        found = row(hypergradient(reference.step(reference.sgd(xi, buffers))))
        torch.testing.assert_close(found, reference.expected(golden[whole]), **SECOND)
        # The implicit term alone, which the direct one would hide.
        term = (direct - found) / xi
        expected = reference.expected(golden[implicit])
        assert (term - expected).norm() <= 1e-7 * expected.norm()


@pytest.mark.parametrize("name", ["mixed_stride1", "mixed_stride2"])
def test_one_edge(name: str) -> None:
    reference = Reference(False)
    golden = reference.golden[name]
    edge = reference.supernet.cells[golden["cell"]].nodes[0].edges[golden["edge"]]
    edge.operation._arch_alpha.data = golden["weights"].log()
    torch.testing.assert_close(edge(golden["x"]), golden["y"], **CLOSE)


# By hand.


def test_shuffle_by_hand() -> None:
    # Trap 4: six channels in two groups of three, and in three groups of two.
    x = torch.arange(6.0).view(1, 6, 1, 1)
    for k, order in ((2, [0, 3, 1, 4, 2, 5]), (3, [0, 2, 4, 1, 3, 5])):
        edge = PartialChannels(nn.Identity(), 6, k)
        assert edge(x).flatten().tolist() == order


def test_bypass_is_not_scaled() -> None:
    # Trap 3: whatever the operation is, the rest passes on; none silences a quarter.
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    x = torch.rand(2, 8, 4, 4) + 1
    y = PartialChannels(Nothing(), 8, 4)(x)
    assert torch.equal(y[:, ::4], torch.zeros(2, 2, 4, 4))
    assert torch.equal(y[:, 1], x[:, 2])
    assert torch.equal(y[:, 7], x[:, 7])


@pytest.mark.parametrize("size", [7, 8])
def test_bypass_of_stride_two_is_max_pooling(size: int) -> None:
    x = torch.rand(2, 4, size, size)
    edge = PartialChannels(nn.AvgPool2d(3, 2, 1), 4, 2, stride=2)
    y = edge(x)
    assert y.shape == (2, 4, 4, 4)
    assert torch.equal(y[:, 1, 0, 0], x[:, 2, :2, :2].amax((1, 2)))
    assert torch.equal(y[:, 3, 3, 3], x[:, 3, 6:, 6:].amax((1, 2)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"k": 3}, "k=3 must divide the 16 channels of an edge; choose 2 or 4 or 8"),
        ({"k": 1}, "k must be at least 2, got 1"),
        ({"k": 32}, "k=32 must divide the 16 channels of an edge; choose 4 or 8 or 16"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"stride": 3}, "stride must be at most 2, got 3"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], expected: str, message: Any) -> None:
    given = {"operation": nn.Identity(), "channels": 16, "k": 4, **arguments}
    assert expected in message(ValueError, PartialChannels, **given)
