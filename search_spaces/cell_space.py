"""Base of the spaces of cells: genotype and network of their choices."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, cast

from torch import nn

from nni_darts.genotypes.genotype import Genotype
from nni_darts.supernet.mixed import MixedNode
from search_spaces.edge_operations import names_in


class CellSpace:
    """A mixin for model spaces of `Node`s with the labels that `Genotype.from_sample` reads.

    `freeze(sample)` gives the discrete network with newly initialised weights. The space has an
    argument `primitives`; those that the network has too are passed on to it.
    """

    edges_may_differ: ClassVar[bool] = False
    """True if `primitives` may have the operations of each edge by its label."""
    network: ClassVar[type[nn.Module]]
    """Network class, which takes a genotype and arguments of the space."""

    @staticmethod
    def extra_oneshot_hooks(strategy: Any) -> list[Callable[..., Any]]:
        return [MixedNode.mutate]

    @classmethod
    def create_fixed_module(cls, sample: dict[str, Any], *args: Any, **kwargs: Any) -> nn.Module:
        bound = inspect.signature(cast(Any, cls)._init_wrapped).bind(None, *args, **kwargs)
        bound.apply_defaults()
        genotype = Genotype.from_sample(sample, operations=names_in(bound.arguments["primitives"]))
        taken = inspect.signature(cls.network).parameters
        return cls.network(genotype, **{k: v for k, v in bound.arguments.items() if k in taken})

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        space = cast(Any, self)
        space.validate(sample)
        frozen: nn.Module = type(space).create_fixed_module(
            sample, *space.trace_args, **space.trace_kwargs
        )
        return frozen
