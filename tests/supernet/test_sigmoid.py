"""Sigmoid weights do not compete, and are ranked by as they are."""

from __future__ import annotations

import torch
from fused_cells import OneCell

from nni_darts import UnrolledDARTS
from nni_darts.supernet import architectures
from nni_darts.supernet.sigmoid import Sigmoid


def test_a_weight_hangs_on_its_own_alpha_alone() -> None:
    alpha = torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64, requires_grad=True)
    weights = Sigmoid().weights(alpha)
    torch.testing.assert_close(weights, 1 / (1 + torch.exp(-alpha)))
    slopes = torch.autograd.functional.jacobian(Sigmoid().weights, alpha)
    torch.testing.assert_close(slopes, torch.diag(weights * (1 - weights)))
    assert torch.equal(Sigmoid().probabilities(alpha), weights)


def test_edges_are_ranked_by_the_weights_as_they_are() -> None:
    net = UnrolledDARTS(relaxation="sigmoid").mutate_model(
        OneCell(["sep_conv_3x3", "skip_connect"])
    )
    rows = {"cell_2_0": (3.0, 2.9), "cell_2_1": (0.5, -4.0)}
    for name, row in rows.items():
        (alpha,) = (m._arch_alpha for m in net.modules() if getattr(m, "label", "") == name)
        alpha.data = torch.tensor(row)
    ((_, sample),) = architectures.top_k(net, 1)
    # Of each row alone the second edge would be the surer one.
    assert sample["cell_2"] == [0, 1]
