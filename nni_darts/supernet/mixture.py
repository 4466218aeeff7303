"""The mixing weights that a supernet computes with: those of its relaxation, once in every pass.

A relaxation that draws is asked at the start of each pass of the supernet, for all alphas, so that
the cells that share an alpha share its draw, and a cell that is computed again in the backward pass
meets the draw of its forward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from nni_darts._common.schedule import Moment
from nni_darts.supernet.relaxation import OneHot, Relaxation
from nni_darts.supernet.restriction import Restriction

__all__ = [
    "Drawn",
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


@dataclass(frozen=True)
class Drawn:
    """The one choice of an alpha that was drawn."""

    index: int
    """Index of the choice."""
    weight: Tensor
    """Scalar 1, with its graph to the alpha."""
    rest: Tensor | None
    """Scalar 0, the sum of the other weights with their graph; None where they are ignored."""


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
        self._drawn: dict[int, Drawn] = {}
        self._held = False
        self._restricted: dict[int, _Restricted] = {}

    def at(self, moment: Moment) -> None:
        """Go to a moment of the search."""
        self.relaxation = self.scheduled.at(moment)

    def row(self, alpha: Tensor) -> Tensor:
        """Mixing weights (choices,) of an alpha in this pass, with their graph to it.

        Of one choice that is drawn, the others have neither weight nor gradient.
        """
        if drawn := self.drawn(alpha):
            others = [
                drawn.weight.new_zeros(n) for n in (drawn.index, len(alpha) - 1 - drawn.index)
            ]
            return torch.cat([others[0], drawn.weight[None], others[1]])
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

    def drawn(self, alpha: Tensor) -> Drawn | None:
        """The one choice of an alpha that is drawn in this pass; None where all are mixed."""
        if self._held or not isinstance(self.relaxation, OneHot) or id(alpha) in self._restricted:
            return None
        if id(alpha) not in self._drawn:
            return self._draws([alpha])[0]
        return self._drawn[id(alpha)]

    @property
    def at_once(self) -> bool:
        """True if the weights of several alphas may be computed as one batch, here and now."""
        return not self.relaxation.draws and self._rows is None and not self._restricted

    def rows(self) -> list[Tensor]:
        """Mixing weights of every alpha, drawn anew where they are drawn."""
        return batched(self.relaxation.weights, self.alphas)

    def pass_over(self) -> None:
        """Let the next pass draw other weights than the last, from whose random state it starts.

        The passes of the architect leave the random state as they found it, and a step of the
        weights is to draw its own sample (as published for GDAS and DrNAS).
        """
        if self.relaxation.draws:
            with torch.no_grad():
                self.rows()

    def begin(self) -> None:
        """Begin a pass: draw for every alpha where the relaxation draws."""
        if self._held or not self.relaxation.draws:
            return
        if isinstance(self.relaxation, OneHot):
            draws = self._draws(self.alphas)
            self._drawn = {id(alpha): one for alpha, one in zip(self.alphas, draws, strict=True)}
        else:
            self._rows = self._by_alpha(self.rows())

    def end(self) -> None:
        """Forget the draws of the last pass: what is called besides the supernet draws its own."""
        if not self._held:
            self._rows, self._drawn = None, {}

    @contextmanager
    def held(self, rows: Sequence[Tensor]) -> Iterator[None]:
        """Compute with these rows, one for every alpha, in all passes within."""
        before = self._rows, self._held
        self._rows, self._held = self._by_alpha(rows), True
        try:
            yield
        finally:
            self._rows, self._held = before

    def _draws(self, alphas: Sequence[Tensor]) -> list[Drawn]:
        """Draw one choice for each alpha; a device is waited for once."""
        relaxation = cast(OneHot, self.relaxation)
        ones = relaxation.unselected == "ones"
        found: dict[int, tuple[Tensor, Tensor | None]] = {}
        indices: list[Tensor] = []
        for alike in by_size(alphas):
            h = relaxation.weights(torch.stack([alphas[i] for i in alike]))
            index = h.detach().argmax(-1, keepdim=True)
            weight = h.gather(-1, index).squeeze(-1)
            rest = h.sum(-1) - weight if ones else None
            indices.append(index.flatten())
            for n, i in enumerate(alike):
                found[i] = weight[n], None if rest is None else rest[n]
        chosen = torch.cat(indices).tolist() if indices else []
        return [Drawn(k, *found[i]) for i, k in sorted(zip(found, chosen, strict=True))]

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
    found: dict[int, Tensor] = {}
    for alike in by_size(rows):
        results = function(torch.stack([rows[i] for i in alike])).unbind()
        found |= dict(zip(alike, results, strict=True))
    return [found[i] for i in range(len(rows))]


def by_size(rows: Sequence[Tensor]) -> list[list[int]]:
    """Indices of the rows of each size, in their order."""
    sizes: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        sizes.setdefault(len(row), []).append(i)
    return list(sizes.values())


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
