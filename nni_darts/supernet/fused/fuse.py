"""Faster cells of the supernet: the same numbers to rounding, from the same parameters."""

from __future__ import annotations

import torch
from torch import nn

from nni_darts.supernet.fused.plan import make_plan
from nni_darts.supernet.fused.run import FusedNodes
from nni_darts.supernet.nodes import Nodes


def fuse(supernet: nn.Module) -> nn.Module:
    """Fuse those cells of a supernet whose `Nodes` can be fused; in place, and returned.

    Parameters, their names, hooks and what is exported stay. Cells that cannot be fused stay as
    they are; so does an operation that is not recognised, within a fused cell.
    """
    cells = [m for m in supernet.modules() if type(m) is Nodes and make_plan(m) is not None]
    for cell in cells:
        cell.__class__ = FusedNodes
    if cells:
        # The layout of the fused cells; a pooling alone is eight times faster in it on the CPU.
        supernet.to(memory_format=torch.channels_last)
    return supernet
