"""The mixing weights that a supernet computes with: those of its relaxation, once in every pass.

A relaxation that draws is asked at the start of each pass of the supernet, for all alphas, so that
the cells that share an alpha share its draw, and a cell that is computed again in the backward pass
meets the draw of its forward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from nni_darts._common.schedule import Moment
from nni_darts.supernet.relaxation import Relaxation
from nni_darts.supernet.restriction import Restriction

__all__ = [
    "MixingWeights",
    "Mixture",
    "batched",
    "mixture_of",
    "probabilities",
    "relax",
    "together",
    "weights_at_once",
    "weights_in_turn",
]


class Mixture:
    """The mixing weights of a supernet.

    Args:
        relaxation: with or without schedules in its options.
        alphas: (choices,) each, in declaration order.
    """

    def __init__(self, relaxation: Relaxation, alphas: Sequence[Tensor] = ()) -> None:
        self.scheduled = relaxation
        self.relaxation = relaxation
        self.alphas = list(alphas)
        self._rows: dict[int, Tensor] | None = None
        self._held = False
        self._restricted: dict[int, _Restricted] = {}

    def at(self, moment: Moment) -> None:
        """Go to a moment of the search."""
        self.relaxation = self.scheduled.at(moment)

    def row(self, alpha: Tensor) -> Tensor:
        """Mixing weights (choices,) of an alpha in this pass, with their graph to it."""
        rows = self._rows or {}
        row = rows[id(alpha)] if id(alpha) in rows else self.relaxation.weights(alpha)
        return self._left(alpha, row)

    def probabilities(self, alpha: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Weights to rank and report an alpha by, computed in a precision of their own if given."""
        return self._left(alpha, self.relaxation.probabilities(alpha.to(dtype or alpha.dtype)))

    def _left(self, alpha: Tensor, row: Tensor) -> Tensor:
        restricted = self._restricted.get(id(alpha))
        return row if restricted is None else restricted(row)

    @property
    def restrictions(self) -> tuple[tuple[int, Restriction], ...]:
        """Restrictions in force, with the place of the alpha of each."""
        places = {id(alpha): i for i, alpha in enumerate(self.alphas)}
        return tuple((places[key], r.restriction) for key, r in self._restricted.items())

    def restrict(self, restrictions: Iterable[tuple[Tensor, Restriction]]) -> None:
        """Put restrictions in force, for these alphas only, in whatever has asked for weights.

        They are put on what was drawn, held or perturbed, too. Alpha has no gradient where nothing
        of its weights is left.
        """
        before = {(key, each.restriction): each for key, each in self._restricted.items()}
        # One that stays keeps its numbers, for a captured step reads them where they are.
        self._restricted = {
            id(alpha): before.get((id(alpha), r)) or _Restricted(r) for alpha, r in restrictions
        }

    @contextmanager
    def restricted(self, restrictions: Iterable[tuple[Tensor, Restriction]]) -> Iterator[None]:
        """Put these restrictions in force within, in place of those that were."""
        before = self._restricted
        self.restrict(restrictions)
        try:
            yield
        finally:
            self._restricted = before

    @property
    def at_once(self) -> bool:
        """True if the weights of several alphas may be computed as one batch, here and now."""
        return not self.relaxation.draws and self._rows is None and not self._restricted

    def rows(self) -> list[Tensor]:
        """Mixing weights of every alpha, drawn anew where they are drawn."""
        return batched(self.relaxation.weights, self.alphas)

    def begin(self) -> None:
        """Begin a pass: draw for every alpha where the relaxation draws."""
        if self.relaxation.draws and not self._held:
            self._rows = self._by_alpha(self.rows())

    def end(self) -> None:
        """Forget the draws of the last pass: what is called besides the supernet draws its own."""
        if not self._held:
            self._rows = None

    @contextmanager
    def held(self, rows: Sequence[Tensor]) -> Iterator[None]:
        """Compute with these rows, one for every alpha, in all passes within."""
        before = self._rows, self._held
        self._rows, self._held = self._by_alpha(rows), True
        try:
            yield
        finally:
            self._rows, self._held = before

    def _by_alpha(self, rows: Sequence[Tensor]) -> dict[int, Tensor]:
        return {id(alpha): row for alpha, row in zip(self.alphas, rows, strict=True)}

    def __deepcopy__(self, memo: dict[int, Any]) -> Mixture:
        """Copy without the rows of the pass, which hang on the alphas of the original."""
        copied = memo[id(self)] = Mixture(self.scheduled, copy.deepcopy(self.alphas, memo))
        copied.relaxation = self.relaxation
        copied.restrict((copied.alphas[place], r) for place, r in self.restrictions)
        return copied


class _Restricted:
    """A restriction with its numbers where they are needed: they are copied to a device once."""

    def __init__(self, restriction: Restriction) -> None:
        self.restriction = restriction
        self._parts: dict[Any, tuple[Tensor, Tensor]] = {}

    def __call__(self, row: Tensor) -> Tensor:
        key = row.device, row.dtype
        if key not in self._parts:
            with torch.inference_mode(False):
                first, second = self.restriction.parts(len(row))
                self._parts[key] = row.new_tensor(first), row.new_tensor(second)
        factor, constant = self._parts[key]
        return row * factor + constant


def batched(function: Callable[[Tensor], Tensor], rows: Sequence[Tensor]) -> list[Tensor]:
    """Results of a function of (n, choices) for rows (choices,): called once for each size."""
    sizes: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        sizes.setdefault(len(row), []).append(i)
    found: dict[int, Tensor] = {}
    for alike in sizes.values():
        results = function(torch.stack([rows[i] for i in alike])).unbind()
        found |= dict(zip(alike, results, strict=True))
    return [found[i] for i in range(len(rows))]


class MixingWeights(nn.Module):
    """The mixture where NNI's mixed modules have a softmax."""

    def __init__(self, mixture: Mixture | Relaxation) -> None:
        super().__init__()
        self.mixture = mixture if isinstance(mixture, Mixture) else Mixture(mixture)

    @property
    def relaxation(self) -> Relaxation:
        return self.mixture.relaxation

    def forward(self, alpha: Tensor) -> Tensor:
        return self.mixture.row(alpha)

    def extra_repr(self) -> str:
        return repr(self.relaxation)


def relax(supernet: nn.Module, relaxation: Relaxation) -> Mixture:
    """Let the mixed modules of a supernet ask the relaxation for their weights.

    What somebody has put in the place of NNI's own softmax is left there.
    """
    relaxed = [m for m in list[Any](supernet.modules()) if type(_softmax(m)) is nn.Softmax]
    alphas = {id(alpha): alpha for module in relaxed for alpha in _alphas(module)}
    mixture = Mixture(relaxation, list(alphas.values()))
    for module in relaxed:
        module._softmax = MixingWeights(mixture)
    supernet.register_forward_pre_hook(_Begin(mixture))
    return mixture


class _Begin:
    """Hook that begins a pass of a mixture."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        self.mixture.begin()


def mixture_of(supernet: nn.Module) -> Mixture | None:
    """Mixture of a supernet; None where none of its modules has one."""
    softmaxes = map(_softmax, list[Any](supernet.modules()))
    return next((s.mixture for s in softmaxes if isinstance(s, MixingWeights)), None)


def _softmax(module: Any) -> Any:
    return getattr(module, "_softmax", None)


def _alphas(module: Any) -> list[Tensor]:
    alpha = module._arch_alpha
    return list(alpha.values()) if isinstance(alpha, nn.ParameterDict) else [alpha]


def probabilities(mixed: Any, alpha: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Weights to rank and report by, of an alpha of a mixed module; in `dtype` if given."""
    softmax = mixed._softmax
    if isinstance(softmax, MixingWeights):
        return softmax.mixture.probabilities(alpha, dtype)
    return cast(Tensor, softmax(alpha.to(dtype or alpha.dtype)))


def together(layers: Sequence[Any]) -> bool:
    """True if the weights of layers may be computed at once, by one relaxation."""
    softmaxes = [layer._softmax for layer in layers]
    return all(type(softmax) is MixingWeights for softmax in softmaxes) and all(
        softmax.relaxation is softmaxes[0].relaxation and softmax.mixture.at_once
        for softmax in softmaxes
    )


def weights_in_turn(layers: Sequence[Any], turns: Sequence[int]) -> Tensor:
    """The weights (layers, choices), asked for one by one in the order of `turns`."""
    rows = {i: layers[i]._softmax(layers[i]._arch_alpha) for i in turns}
    return torch.stack([rows[i] for i in range(len(layers))])


def weights_at_once(layers: Sequence[Any]) -> Tensor:
    """The weights (layers, choices) of layers that are `together`."""
    alphas = torch.stack([layer._arch_alpha for layer in layers])
    return cast(Relaxation, layers[0]._softmax.relaxation).weights(alphas)
