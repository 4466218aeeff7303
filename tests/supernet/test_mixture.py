"""A relaxation that draws: what the supernet computes is drawn, what it says never is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import spaces
import torch
from choice_spaces import CellsAndChoices, ChoiceSpace
from fused_cells import OneCell, assert_equal, fused_cells, numbers, supernets
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Linear, Moment
from nni_darts.search.parts import RELAXATIONS
from nni_darts.supernet import architectures
from nni_darts.supernet.fused import run as fused_run
from nni_darts.supernet.fused.fuse import fuse
from nni_darts.supernet.gumbel import Gumbel as GumbelOfOne
from nni_darts.supernet.mixed import MixedNode
from nni_darts.supernet.mixture import (
    MixingWeights,
    Mixture,
    batched,
    mixture_of,
    probabilities,
    relax,
)
from nni_darts.supernet.relaxation import Relaxation, Softmax
from search_spaces import DartsCNN, DartsRNN


@dataclass(frozen=True)
class Gumbel(Relaxation):
    """softmax((alpha + noise) / temperature)."""

    temperature: Any = 1.0

    def weights(self, alpha: Tensor) -> Tensor:
        noise = -torch.log(-torch.log(torch.rand_like(alpha)))
        return ((alpha + noise) / self.temperature).softmax(-1)

    def probabilities(self, alpha: Tensor) -> Tensor:
        return alpha.softmax(-1)


@dataclass(frozen=True)
class Sigmoid(Relaxation):
    """No choice takes from another's weight, and nothing is drawn."""

    draws = False

    def weights(self, alpha: Tensor) -> Tensor:
        return alpha.sigmoid()

    def probabilities(self, alpha: Tensor) -> Tensor:
        return alpha.sigmoid() / alpha.sigmoid().sum(-1, keepdim=True)


SPACES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "choices of all sorts": (ChoiceSpace, (2, 1, 8, 8)),
    "cells and choices": (CellsAndChoices, (2, 1, 8, 8)),
    "nodes of a cell": (OneCell, (2, 3, 8, 8)),
    "the cell of NNI": (spaces.NniCell, tuple(spaces.loader(2, 2).dataset[0][0].shape)),
}


def built(name: str, relaxation: Any) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    make, shape = SPACES[name]
    net = UnrolledDARTS(relaxation=relaxation).mutate_model(make())
    for parameter_name, parameter in net.named_parameters():
        if "_arch_alpha" in parameter_name:
            parameter.data.normal_()
    return net, torch.randn(shape if len(shape) == 4 else (2, *shape))


def at_start(relaxation: Any) -> Relaxation:
    """A relaxation with numbers in place of its schedules."""
    return RELAXATIONS.make(relaxation).at(Moment(0, 1))


def said(net: nn.Module) -> Any:
    found = architectures.probabilities(net)
    rows = {label: {c: p.item() for c, p in row.items()} for label, row in found.items()}
    exported = [m.export({}) for m in net.modules() if isinstance(m, MixedNode)]
    return rows, architectures.top_k(net, 3), exported


DRAWING = [Gumbel(), "gumbel", "dirichlet"]


@pytest.mark.parametrize("relaxation", DRAWING)
@pytest.mark.parametrize("name", SPACES)
def test_what_is_said_is_not_drawn(name: str, relaxation: Any) -> None:
    net, x = built(name, at_start(relaxation))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = said(net)
    assert torch.equal(torch.get_rng_state(), state)
    net(x)  # draws
    assert not torch.equal(torch.get_rng_state(), state)
    assert said(net) == first
    # It is what softmax says: the same probabilities.
    assert first == said(built(name, "softmax")[0])


@pytest.mark.parametrize("relaxation", DRAWING)
@pytest.mark.parametrize("name", SPACES)
def test_what_is_computed_is_drawn(name: str, relaxation: Any) -> None:
    net, x = built(name, at_start(relaxation))
    outputs = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        outputs.append(net(x))
    assert not torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("name", SPACES)
def test_every_mixed_module_asks_the_relaxation(name: str) -> None:
    net, _ = built(name, Gumbel())
    softmaxes = [m._softmax for m in list[Any](net.modules()) if hasattr(m, "_softmax")]
    assert softmaxes
    assert all(type(s) is MixingWeights and s.relaxation == Gumbel() for s in softmaxes)


def test_another_relaxation_ranks_by_its_own_probabilities() -> None:
    net, _ = built("nodes of a cell", Sigmoid())
    rows = said(net)[0]
    assert rows != said(built("nodes of a cell", "softmax")[0])[0]
    assert all(sum(row.values()) == pytest.approx(1) for row in rows.values())


def test_a_search_with_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    strategies = []
    for relaxation in (Gumbel(0.5), "softmax", Softmax()):
        torch.manual_seed(0)
        strategy = UnrolledDARTS(relaxation=relaxation, arc_learning_rate=0.1)
        strategies.append(spaces.search(spaces.Plain(), strategy, max_epochs=2))
    strategy, *plain = strategies
    assert torch.equal(spaces.alphas(plain[0]), spaces.alphas(plain[1]))
    assert not torch.equal(spaces.alphas(strategy), spaces.alphas(plain[0]))

    def ask(*_: Any) -> Any:
        raise AssertionError("drawn")

    monkeypatch.setattr(Gumbel, "weights", ask)
    first = strategy.top_k(2), strategy.oneshot_module.export_probs()
    assert (strategy.top_k(2), strategy.oneshot_module.export_probs()) == first
    assert next(strategy.list_models()).sample == first[0][0][1]


# Fused cells.


def drawn_supernets(relaxation: Relaxation) -> tuple[nn.Module, nn.Module]:
    plain, _ = supernets(OneCell())
    for module in list[Any](plain.modules()):
        if hasattr(module, "_softmax"):
            module._softmax = MixingWeights(relaxation)
    return plain, fuse(copy.deepcopy(plain))


@pytest.mark.parametrize("relaxation", [Gumbel(), Sigmoid(), Softmax()])
@pytest.mark.parametrize("hypergradient", ["first_order", "exact"])
def test_fused_equals_plain(
    relaxation: Relaxation, hypergradient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fused = drawn_supernets(relaxation)
    assert fused_cells(fused) == 1
    passes = []
    run = fused_run.run
    monkeypatch.setattr(fused_run, "run", lambda *a: passes.append(a) or run(*a))
    found = []
    for net in (plain, fused):
        torch.manual_seed(2)
        found.append(numbers(net, hypergradient))
    assert_equal(*found)
    # All passes of the second net were fused ones: the cell was not run edge by edge.
    assert len(passes) == (3 if hypergradient == "first_order" else 4)


@pytest.mark.parametrize(("relaxation", "calls"), [(Softmax(), 1), (Sigmoid(), 1), (Gumbel(), 9)])
def test_without_draws_all_edges_of_a_cell_are_asked_for_at_once(
    relaxation: Relaxation, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fused = drawn_supernets(relaxation)
    asked: list[Tensor] = []
    weights = type(relaxation).weights
    monkeypatch.setattr(
        type(relaxation), "weights", lambda self, a: asked.append(a) or weights(self, a)
    )
    fused(torch.randn(2, 3, 8, 8).double())
    assert len(asked) == calls


def test_the_strategy_fuses_with_any_relaxation() -> None:
    for relaxation in ("softmax", Gumbel(), f"{__name__}.Gumbel"):
        net = UnrolledDARTS(relaxation=relaxation).mutate_model(DartsCNN(4, 3))
        assert fused_cells(net) == 3


@pytest.mark.parametrize("relaxation", DRAWING)
def test_a_recurrent_cell_draws_for_every_edge(relaxation: Any) -> None:
    size = {"vocabulary": 7, "embedding": 4, "hidden": 4, "num_nodes": 3}
    net = UnrolledDARTS(relaxation=at_start(relaxation)).mutate_model(DartsRNN(**size))
    tokens, state = torch.randint(7, (3, 4)), torch.zeros(4, 4)
    torch.manual_seed(1)
    first = net(tokens, state).logits
    assert not torch.equal(net(tokens, state).logits, first)
    torch.manual_seed(1)
    assert torch.equal(net(tokens, state).logits, first)


# What is not NNI's own.


def test_a_softmax_of_the_users_is_left_where_it_is() -> None:
    net = UnrolledDARTS().mutate_model(spaces.Plain())
    mixed: Any = next(m for m in net.modules() if hasattr(m, "_softmax"))
    mixed._softmax = nn.Sigmoid()
    relax(net, Gumbel())
    assert type(mixed._softmax) is nn.Sigmoid
    assert torch.equal(probabilities(mixed, mixed._arch_alpha), mixed._arch_alpha.sigmoid())


def test_a_relaxation_that_there_is_not(message: Any) -> None:
    text = message(ValueError, UnrolledDARTS, relaxation="softmaxx")
    assert text == (
        "unknown relaxation 'softmaxx'; did you mean 'softmax'? (known: softmax, sigmoid, "
        "gumbel, dirichlet)"
    )


# Passes.


def test_cells_of_a_kind_share_the_draw_of_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Tensor] = []
    weights = Gumbel.weights
    monkeypatch.setattr(Gumbel, "weights", lambda self, a: asked.append(a) or weights(self, a))
    net = UnrolledDARTS(relaxation=Gumbel(), fused=False).mutate_model(DartsCNN(4, 5))
    rows: dict[int, list[Tensor]] = {}
    for module in list[Any](net.modules()):
        if hasattr(module, "_softmax"):
            seen = rows.setdefault(id(module._arch_alpha), [])
            module._softmax.register_forward_hook(lambda m, i, row, seen=seen: seen.append(row))
    net(torch.randn(2, 3, 8, 8))
    assert [tuple(alpha.shape) for alpha in asked] == [(28, 8)]
    assert sorted({len(seen) for seen in rows.values()}) == [2, 3]  # reduction, normal
    assert all(torch.equal(seen[0], row) for seen in rows.values() for row in seen)
    net(torch.randn(2, 3, 8, 8))
    assert len(asked) == 2
    assert not any(torch.equal(seen[0], seen[-1]) for seen in rows.values())


@pytest.mark.parametrize("relaxation", DRAWING)
def test_cells_that_are_computed_again_meet_their_draw(relaxation: Any) -> None:
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        strategy = UnrolledDARTS(relaxation=at_start(relaxation), recompute=recompute)
        net = strategy.mutate_model(DartsCNN(4, 3))
        torch.manual_seed(1)
        net(torch.randn(2, 3, 8, 8)).square().mean().backward()
        found.append([p.grad for p in net.parameters()])
    assert [g is None for g in found[0]] == [g is None for g in found[1]]
    torch.testing.assert_close(*[[g for g in of if g is not None] for of in found])


def test_held_rows_are_for_all_passes_within() -> None:
    net, x = built("nodes of a cell", Gumbel())
    mixture = mixture_of(net)
    assert mixture is not None
    rows = [torch.ones(len(alpha)) / len(alpha) for alpha in mixture.alphas]
    with mixture.held(rows):
        first = net(x)
        mixture.end()
        assert torch.equal(net(x), first)
        assert all(mixture.row(a) is row for a, row in zip(mixture.alphas, rows, strict=True))
    assert not torch.equal(net(x), first)


def test_what_is_called_besides_the_supernet_draws_its_own() -> None:
    net, x = built("nodes of a cell", Gumbel())
    mixture = mixture_of(net)
    assert mixture is not None
    net(x)
    assert torch.equal(mixture.row(mixture.alphas[0]), mixture.row(mixture.alphas[0]))
    mixture.end()
    assert not torch.equal(mixture.row(mixture.alphas[0]), mixture.row(mixture.alphas[0]))


def test_a_copy_has_a_mixture_of_its_own() -> None:
    net, x = built("nodes of a cell", Gumbel())
    net(x)
    copied = copy.deepcopy(net)
    ours, theirs = mixture_of(net), mixture_of(copied)
    assert ours is not None
    assert theirs is not None
    parameters = {id(p) for p in copied.parameters()}
    assert theirs is not ours
    assert all(id(alpha) in parameters for alpha in theirs.alphas)
    torch.manual_seed(1)
    first = net(x)
    torch.manual_seed(1)
    assert torch.equal(copied(x), first)


def test_a_relaxation_goes_to_a_moment() -> None:
    net, _ = built("nodes of a cell", Gumbel(Linear(10, 1, reached=True)))
    mixture = mixture_of(net)
    assert mixture is not None
    mixture.at(Moment(1, 4))
    assert mixture.relaxation == Gumbel(7.0)
    assert all(m.relaxation == Gumbel(7.0) for m in net.modules() if isinstance(m, MixingWeights))


def test_rows_of_a_size_are_computed_at_once() -> None:
    sizes = []

    def doubled(rows: Tensor) -> Tensor:
        sizes.append(tuple(rows.shape))
        return 2 * rows

    rows = [torch.ones(2), torch.ones(3), torch.zeros(2)]
    assert [row.tolist() for row in batched(doubled, rows)] == [[2, 2], [2, 2, 2], [0, 0]]
    assert sizes == [(2, 2), (1, 3)]


def test_rows_of_several_sizes_get_their_own_draws() -> None:
    chosen = [1, 2, 0, 0]
    alphas = [torch.full((size,), -40.0) for size in (2, 3, 2, 3)]
    for alpha, k in zip(alphas, chosen, strict=True):
        alpha[k] = 40.0
    mixture = Mixture(GumbelOfOne(tau=1.0, unselected="ones"), alphas)
    for ready in (False, True):
        drawn = [mixture.drawn(alpha) for alpha in alphas]
        assert [one.index for one in drawn if one] == chosen, ready
        assert all(one and one.weight == 1 and one.rest == 0 for one in drawn)
        rows = [mixture.row(alpha).tolist() for alpha in alphas]
        assert rows == [[0, 1], [0, 0, 1], [1, 0], [1, 0, 0]]
        mixture.begin()
