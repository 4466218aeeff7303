"""Base of the spaces of cells: genotype and network of their choices."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from torch import nn

from nni_darts.genotypes.genotype import Genotype
from nni_darts.supernet.mixed import MixedNode
from search_spaces.edge_operations import names_in


class CellSpace:
    """A mixin for model spaces of `Node`s with the labels that `Genotype.from_sample` reads.

    `freeze(sample)` gives the discrete network with newly initialised weights. Arguments of the
    space that the network has too are passed on to it. A space of genotypes has an argument
    `primitives`; one of other architectures reads them in `found`.
    """

    edges_may_differ: ClassVar[bool] = False
    """True if `primitives` may have the operations of each edge by its label."""
    network: ClassVar[type[nn.Module]]
    """Network class, which takes an architecture and arguments of the space."""

    @staticmethod
    def extra_oneshot_hooks(strategy: Any) -> list[Callable[..., Any]]:
        return [MixedNode.mutate]

    @classmethod
    def create_fixed_module(cls, sample: dict[str, Any], *args: Any, **kwargs: Any) -> nn.Module:
        bound = inspect.signature(cast(Any, cls)._init_wrapped).bind(None, *args, **kwargs)
        bound.apply_defaults()
        taken = inspect.signature(cls.network).parameters
        return cls.network(
            cls.found(sample, bound.arguments),
            **{k: v for k, v in bound.arguments.items() if k in taken},
        )

    @classmethod
    def found(cls, sample: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
        """The architecture of a sample, as the network takes it.

        Args:
            sample: what was chosen, by label.
            arguments: arguments of the space.
        """
        return Genotype.from_sample(sample, operations=names_in(arguments["primitives"]))

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        space = cast(Any, self)
        space.validate(sample)
        frozen: nn.Module = type(space).create_fixed_module(
            sample, *space.trace_args, **space.trace_kwargs
        )
        return frozen
