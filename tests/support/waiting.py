"""What would make a step wait for the device, found where there is none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITING = {
    "aten::_local_scalar_dense",  # .item(), float(), bool(), .tolist()
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::nonzero",
    "aten::_unique2",
    "aten::unique_dim",
}


class Waits(RuntimeError):
    pass


def require_no_waiting(func: Any, args: Any, kwargs: Any) -> None:
    """Raise Waits for an operation whose result, or whose copy, the CPU has to wait for."""
    name = func._schema.name
    if name in WAITING:
        raise Waits(f"operation not permitted when stream is capturing: {name}")
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    if name in ("aten::index", "aten::index_put_"):
        if any(i.dtype == torch.bool for i in tensors[1:]):
            raise Waits(f"{name} by a mask counts its elements")
        if len({i.device.type for i in tensors}) > 1:
            raise Waits(f"{name} copies its indices")
    if name == "aten::_to_copy":
        target = torch.device(kwargs.get("device") or tensors[0].device)
        if target.type != tensors[0].device.type and not kwargs.get("non_blocking"):
            raise Waits(f"a copy from {tensors[0].device.type} to {target.type}")
    if name == "aten::copy_":
        here, there, *non_blocking = args
        if here.device.type != there.device.type and not any(non_blocking):
            raise Waits("a copy between devices")


class NoWaiting(TorchDispatchMode):
    """Within, what would wait raises Waits."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        require_no_waiting(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))
