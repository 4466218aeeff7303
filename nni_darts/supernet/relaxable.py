"""Checks which choices of a model space can be relaxed to a mixture, and refuses the others."""

from __future__ import annotations

from typing import Any

from nni.mutable import Categorical, CategoricalMultiple
from nni.nas.nn.pytorch import ModelSpace, MutableModule
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from torch import nn

_TAKEN = (
    "a differentiable search takes LayerChoice, InputChoice, Repeat, Cell and choices as arguments "
    "of MutableConv2d, MutableLinear, MutableBatchNorm2d, MutableLayerNorm and "
    "MutableMultiheadAttention"
)


def require_categorical(space: ModelSpace) -> None:
    """Raise TypeError for a choice that is no list of alternatives, as NasBench101 has them."""
    for label, mutable in space.simplify().items():
        if not isinstance(mutable, Categorical | CategoricalMultiple):
            raise TypeError(
                f"{type(space).__name__} cannot be relaxed: {label} is a "
                f"{type(mutable).__name__}, no choice from a list; {_TAKEN}"
            )


def refuse_dangling(
    module: nn.Module, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]
) -> bool:
    """The last mutation hook: raise TypeError for a module whose choices no other hook took."""
    if isinstance(module, MutableModule) and module.mutables:
        labels = ", ".join(_own_labels(module))
        raise TypeError(
            f"{name} ({type(module).__name__}) depends on {labels}, which cannot be "
            f"relaxed there; {_TAKEN}; leave the choice out, or give a hook for it in "
            "mutation_hooks"
        )
    return True


def require_decided(supernet: ModelSpace) -> None:
    """Raise TypeError for a choice that nothing in the supernet decides."""
    decided = {
        label
        for module in supernet.modules()
        if isinstance(module, BaseSuperNetModule)
        for label in _own_labels(module)
    }
    if missing := [label for label in supernet.simplify() if label not in decided]:
        raise TypeError(
            f"{type(supernet).__name__} depends on {', '.join(missing)}, but nothing in it that "
            f"can be relaxed does; {_TAKEN}; leave the choice out"
        )


def _own_labels(module: MutableModule) -> list[str]:
    return [label for mutable in module.mutables for label in mutable.simplify()]
