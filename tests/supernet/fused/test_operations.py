"""Chains of several edges at once, beside the operations one by one."""

from __future__ import annotations

import pytest
import torch
from fused_cells import OneCell
from torch.nn import functional as F

from nni_darts import UnrolledDARTS
from nni_darts.supernet.fused import layout
from nni_darts.supernet.fused.operations import Runs, reduced
from nni_darts.supernet.fused.plan import make_plan
from nni_darts.supernet.nodes import Nodes


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["sep_conv_5x5", "dil_conv_3x3", "skip_connect"])
def test_the_edges_of_a_source_at_once(name: str, stride: int, size: int) -> None:
    torch.manual_seed(0)
    space = OneCell([name, "max_pool_3x3"], stride=stride)
    net = UnrolledDARTS(fused=False).mutate_model(space).double()
    nodes = next(module for module in net.modules() if type(module) is Nodes)
    plan = make_plan(nodes)
    assert plan is not None
    source = plan.sources[0]
    k = len(source.targets)
    x = torch.randn(2, 4, size, size).double()
    scale = torch.linspace(0.5, 2, k).double()
    wide = scale.repeat_interleave(4)
    kernels, activated = plan.kernels.joined(), F.relu(x)
    if source.chains:
        runs = Runs(activated, k, kernels)
        y = runs.chain(source.chains[0], wide)
        if runs.phased(source.chains[0]):
            found = layout.add_phases(x.new_zeros(k, 2, size, size, 4), y)
        else:
            found = layout.by_edge(y, k)
    elif source.reductions:
        found = layout.by_edge(reduced(source.reductions[0], activated, k, wide, kernels), k)
    else:
        return  # the identity
    for i in range(k):
        expected = scale[i] * plan.layers[source.first + i][name](x)
        torch.testing.assert_close(found[i].permute(0, 3, 1, 2), expected)
