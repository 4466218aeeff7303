"""The supernet's cells, faster: the same numbers to rounding, from the same parameters."""

from __future__ import annotations

import torch
from torch import nn

from nni_darts.fused.plan import make_plan
from nni_darts.fused.run import FusedNodes
from nni_darts.node import Nodes


def fuse(supernet: nn.Module) -> nn.Module:
    """Let the cells of a supernet whose `Nodes` can be fused run so; in place, and returned.

    Parameters, their names and what is exported stay. Cells that cannot be fused stay as they are;
    so does an operation that is not recognised, within a fused cell.
    """
    found = False
    for module in list(supernet.modules()):
        for name, child in list(module.named_children()):
            if type(child) is Nodes and (plan := make_plan(child)) is not None:
                setattr(module, name, FusedNodes(child, plan))
                found = True
    if found:
        # The layout of the fused cells; a pooling alone is eight times faster in it on the CPU.
        supernet.to(memory_format=torch.channels_last)
    return supernet
