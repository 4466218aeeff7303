"""What the alphas of a supernet say: mixing weights by label, and the best architectures."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, cast

from nni.nas.nn.pytorch import InputChoice, LayerChoice, Repeat
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedRepeat
from torch import Tensor, nn

from nni_darts.ranking import best_combinations, best_subsets
from nni_darts.supernet import MixedCell, MixedNode, Ranked, log_probabilities


def probabilities(root: nn.Module) -> dict[str, dict[Any, Tensor]]:
    """The mixing weight of every choice under every label, with its graph to the alphas.

    Labels come in declaration order. NNI's `Cell` has an emulated `none` after its operations; it
    has no name and is left out, so that the weights of its edges sum to less than one.
    """
    found: dict[str, dict[Any, Tensor]] = {}
    for module in list[Any](root.modules()):
        for label, choices, alpha in _alphas(module):
            if label not in found:
                found[label] = dict(zip(choices, module._softmax(alpha), strict=False))
    return found


def top_k(root: nn.Module, limit: int) -> Ranked:
    """The `limit` most probable distinct architectures of a supernet, best first.

    The score of an architecture is the sum of the log probabilities of its choices; what it does
    not contain (a block beyond the chosen depth, the candidates not taken) does not count, so that
    no network is listed twice. Exact where a label is used on one level of nesting only; a label
    that is nested and also used further out is decided there. Where the depth of a `Repeat` is an
    expression of choices, all its blocks count.
    """
    return _rank(root, limit, frozenset())


def _rank(root: nn.Module | Sequence[nn.Module], limit: int, decided: frozenset[str]) -> Ranked:
    modules = [root] if isinstance(root, nn.Module) else root
    units = [unit for module in modules for unit in _units(module)]
    here = decided.union(*(_labels(unit) for unit in units))
    factors: list[Ranked] = []
    for unit in units:
        for labels, factor in _factors(unit, limit, here):
            if not labels & decided:
                factors.append(factor)
                decided |= labels
    merge = functools.partial(functools.reduce, lambda a, b: a | b)
    return [(score, merge(parts, {})) for score, parts in best_combinations(factors, limit)]


def _units(module: nn.Module) -> Iterator[BaseSuperNetModule]:
    """The outermost supernet modules of a module, itself included."""
    if isinstance(module, BaseSuperNetModule):
        yield module
    else:
        for child in module.children():
            yield from _units(child)


def _labels(unit: Any) -> set[str]:
    return {label for label, _, _ in _alphas(unit)}


def _factors(
    unit: Any, limit: int, decided: frozenset[str]
) -> Iterator[tuple[frozenset[str], Ranked]]:
    """The independent decisions within a unit: the labels of each, and its options."""
    if isinstance(unit, MixedNode | MixedCell):
        for ranked in unit.ranked(limit):
            yield frozenset(ranked[0][1]), ranked
        return
    for label, choices, alpha in _alphas(unit):
        log_p = log_probabilities(unit._softmax, alpha)
        options: Ranked = []
        if isinstance(unit, InputChoice):
            items = [[(p, j)] for j, p in enumerate(log_p)]
            for score, chosen in best_subsets(items, cast(int, unit.n_chosen), limit):
                options.append((score, {label: [j for j, _ in chosen]}))
        else:
            for choice, p in zip(choices, log_p, strict=True):
                nested: Ranked = [(0.0, {})]
                if isinstance(unit, LayerChoice):
                    nested = _rank(unit[choice], limit, decided)
                elif isinstance(unit, Repeat) and unit.label == label:
                    nested = _rank(list(unit.blocks)[:choice], limit, decided)
                options += [(p + score, {**sample, label: choice}) for score, sample in nested]
        yield frozenset({label}), sorted(options, key=lambda option: -option[0])[:limit]
    if isinstance(unit, Repeat) and unit.label is None:
        for nested_unit in (u for block in unit.blocks for u in _units(block)):
            yield from _factors(nested_unit, limit, decided)


def _alphas(module: Any) -> Iterator[tuple[str, Sequence[Any], Tensor]]:
    """A supernet module's own alphas: label, choices, unnormalised values."""
    alpha = getattr(module, "_arch_alpha", None)
    if isinstance(alpha, nn.Parameter):
        names = module.names if isinstance(module, LayerChoice) else range(len(alpha))
        yield module.label, names, alpha
    elif isinstance(module, MixedCell):
        for label, edge_alpha in module._arch_alpha.items():
            yield label, module.op_names, edge_alpha
    elif isinstance(alpha, nn.ParameterDict):
        depth = isinstance(module, DifferentiableMixedRepeat)
        mutables = (module.depth_choice if depth else module).simplify()
        for label, value_alpha in alpha.items():
            yield label, mutables[label].values, value_alpha
