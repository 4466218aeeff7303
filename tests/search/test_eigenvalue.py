"""The largest eigenvalue of the Hessian in alpha: against whole matrices, and in a search."""

from __future__ import annotations

import math
from typing import Any

import pytest
import spaces
import torch
from pytorch_lightning import Callback
from smooth import Smooth
from torch import Tensor, nn
from torch.optim import SGD

from nni_darts import UnrolledDARTS
from nni_darts.search import random_state
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.eigenvalue import Eigenvalue, largest
from nni_darts.supernet.relaxation import Relaxation
from search_spaces import DartsCNN

TIGHT = Eigenvalue(tolerance=1e-12, products=200)


def matrix(*values: float) -> Tensor:
    """A symmetric matrix with these eigenvalues."""
    torch.manual_seed(1)
    q, _ = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64))
    return q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T


@pytest.mark.parametrize(
    "values",
    [
        (3.0, 2.0, 1.0),
        (2.0, -5.0, 1.0, 0.5),  # the largest, not the one of the largest absolute value
        (-1.0, -2.0, -3.0),
        (1.0, 1.0, 1.0),
        (1e-9, 2e-9),
        (0.0, 0.0),
        (4.0,),
        tuple(range(-40, 1)),
    ],
)
def test_against_all_eigenvalues(values: tuple[float, ...]) -> None:
    h = matrix(*values)
    found = largest(lambda v: h @ v, len(values), 1e-12, 100)
    assert found == pytest.approx(max(values), rel=1e-9, abs=1e-12)


def test_products_are_limited_and_saved() -> None:
    h, calls = matrix(*(0.5**i for i in range(60))), []

    def product(v: Tensor) -> Tensor:
        calls.append(v)
        return h @ v

    assert largest(product, 60, 1e-12, 4) <= 1
    assert len(calls) == 4
    calls.clear()
    assert largest(product, 60, 1e-3, 60) == pytest.approx(1, abs=1e-3)
    assert len(calls) < 20


def test_a_matrix_that_is_not_finite() -> None:
    assert torch.isnan(torch.tensor(largest(lambda v: v * torch.nan, 3, 1e-3, 10)))


def quadratic(h: Tensor) -> BilevelStep:
    """L_val = a' H a / 2 + w' a, whose Hessian in a is H at any w."""
    alphas = [torch.randn(1, 2).double().requires_grad_(), torch.randn(2).double().requires_grad_()]
    w = torch.randn(4).double().requires_grad_()

    def loss() -> Tensor:
        a = torch.cat([alpha.reshape(-1) for alpha in alphas])
        return a @ h @ a / 2 + w @ a

    return BilevelStep(loss, loss, [w], alphas, SGD([w], lr=0.1))


def test_a_quadratic_by_hand() -> None:
    # Eigenvalues of [[2, 1], [1, 2]] are 3 and 1; of [[-9, 0], [0, 0.5]] those on the diagonal.
    h = torch.zeros(4, 4).double()
    h[:2, :2] = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    h[2, 2], h[3, 3] = -9, 0.5
    assert TIGHT(quadratic(h)) == pytest.approx(3, rel=1e-12)


def test_a_loss_without_curvature() -> None:
    step = quadratic(torch.zeros(4, 4).double())
    assert TIGHT(step) == 0
    unused = torch.zeros(3).double().requires_grad_()
    more = BilevelStep(
        step.train_loss, step.val_loss, step.weights, [unused, *step.alphas], step.optimizer
    )
    assert TIGHT(more) == 0


def hessian(problem: Smooth) -> Tensor:
    """The whole Hessian of L_val in the alphas."""
    sizes = [alpha.numel() for alpha in problem.alphas]

    def loss(flat: Tensor) -> Tensor:
        before = problem.alphas
        problem.alphas = list(flat.split(sizes))
        try:
            torch.manual_seed(7)
            return problem.val_loss()
        finally:
            problem.alphas = before

    flat = torch.cat([alpha.detach() for alpha in problem.alphas])
    return torch.autograd.functional.hessian(loss, flat)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_network_against_its_whole_hessian(dropout: float) -> None:
    problem = Smooth(dropout)
    values = torch.linalg.eigvalsh(hessian(problem))
    assert -values[0] > values[-1] or values[-1] > 0
    torch.manual_seed(7)
    found = TIGHT(problem.step(SGD(problem.weights, lr=0.1)))
    assert found == pytest.approx(float(values[-1]), rel=1e-9)


def test_nothing_is_changed() -> None:
    problem = Smooth(dropout=0.5)
    kept = [(p, p.detach().clone(), p.requires_grad) for p in [*problem.weights, *problem.alphas]]
    buffers = {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
    state = random_state.get_state()
    TIGHT(problem.step(SGD(problem.weights, lr=0.1)))
    assert random_state.same(random_state.get_state(), state)
    for parameter, before, required in kept:
        assert torch.equal(parameter, before)
        assert parameter.grad is None
        assert parameter.requires_grad == required
    for name, buffer in problem.model.named_buffers():
        assert torch.equal(buffer, buffers[name]), name


def test_an_operation_without_a_second_derivative(message: Any) -> None:
    alpha, w = (torch.ones(2, requires_grad=True) for _ in range(2))
    hard = nn.functional.hardsigmoid
    step = BilevelStep(w.sum, lambda: hard(alpha**2).sum(), [w], [alpha], SGD([w], 0.1))
    assert message(ValueError, TIGHT, step) == (
        "the eigenvalue differentiates twice, which torch cannot do for hardsigmoid; leave out "
        "eigenvalue, or leave the operation out"
    )


# In a search.


class Noisy(Relaxation):
    """Draws, and in a way that has no second derivative."""

    def weights(self, alpha: Tensor) -> Tensor:
        return (alpha + torch.randn_like(alpha).detach()).softmax(-1).detach() + 0 * alpha

    def probabilities(self, alpha: Tensor) -> Tensor:
        return alpha.softmax(-1)


class Watch(Callback):
    """What is logged after every epoch."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seen.append(dict(trainer.callback_metrics))


def searched(
    eigenvalue: Eigenvalue | None, space: Any = spaces.Plain, epochs: int = 2, **options: Any
) -> tuple[list[dict[str, Any]], UnrolledDARTS]:
    torch.manual_seed(0)
    watch = Watch()
    strategy = UnrolledDARTS(eigenvalue=eigenvalue, arc_learning_rate=0.1, **options)
    train = spaces.loader(8 if space is small else 16, shuffle=True)
    spaces.search(space(), strategy, max_epochs=epochs, callbacks=[watch], train=train)
    return [{name: float(value) for name, value in seen.items()} for seen in watch.seen], strategy


def small() -> DartsCNN:
    return DartsCNN(channels=4, num_cells=3, num_nodes=2, num_classes=spaces.CLASSES)


@pytest.mark.parametrize(
    ("hypergradient", "fused"),
    [("first_order", True), ("finite_difference", False), ("exact", True), ("neumann", False)],
)
def test_the_search_is_the_same_with_it(hypergradient: str, fused: bool) -> None:
    made = [
        searched(value, small, 1, hypergradient=hypergradient, fused=fused)
        for value in (None, Eigenvalue(products=5))
    ]
    (plain,), (measured,) = (seen for seen, _ in made)
    assert measured.pop("eigenvalue") > 0
    assert measured == plain
    before, after = (strategy.supernet.state_dict() for _, strategy in made)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fused_or_not_it_is_the_same_number() -> None:
    found = [
        searched(Eigenvalue(), small, 1, fused=fused, hypergradient="first_order")[0][0]
        for fused in (True, False)
    ]
    assert found[0]["eigenvalue"] == pytest.approx(found[1]["eigenvalue"], rel=1e-3)


def test_it_is_of_the_last_batches_at_the_weights_of_the_epochs_end() -> None:
    given = spaces.loader(32, seed=1)
    batches = [batch for batch in given]

    class InOrder:
        def __iter__(self) -> Any:
            return iter(batches)

        def __len__(self) -> int:
            return len(batches)

    watch = Watch()
    strategy = UnrolledDARTS(eigenvalue=Eigenvalue(batches=2, tolerance=1e-9))
    train = spaces.loader(24)
    spaces.search(spaces.Plain(), strategy, train=train, val=InOrder(), callbacks=[watch])
    module = strategy.oneshot_module
    module.set_model(strategy.supernet)
    alphas = module.arch_parameters()
    last = batches[1:3]  # of three steps

    def loss(*rows: Tensor) -> Tensor:
        held = strategy.supernet
        with module.method.mixture.held([row.softmax(-1) for row in rows]):
            return torch.stack([nn.functional.cross_entropy(held(x), y) for x, y in last]).mean()

    blocks = torch.autograd.functional.hessian(
        loss, tuple(a.detach() for a in module.method.mixture.alphas)
    )
    whole = torch.cat([torch.cat(row, 1) for row in blocks])
    assert len(whole) == sum(alpha.numel() for alpha in alphas)
    expected = float(torch.linalg.eigvalsh(whole.double())[-1])
    assert float(watch.seen[0]["eigenvalue"]) == pytest.approx(expected, rel=1e-3)


def test_every_few_epochs() -> None:
    seen, _ = searched(Eigenvalue(every=2), epochs=5)
    assert ["eigenvalue" in metrics for metrics in seen] == [False, True, False, True, False]


def test_not_while_alpha_rests() -> None:
    seen, _ = searched(Eigenvalue(), epochs=3, warmup_epochs=2)
    assert ["eigenvalue" in metrics for metrics in seen] == [False, False, True]


@pytest.mark.parametrize(
    "options",
    [
        {"relaxation": Noisy(), "hypergradient": "first_order"},
        {"perturbation": "random_smoothing"},
        {"regularisers": ["beta_decay"]},
    ],
)
def test_with_other_parts(options: dict[str, Any]) -> None:
    with_it, one = searched(Eigenvalue(), **options)
    without, other = searched(None, **options)
    for metrics in with_it:
        value = metrics.pop("eigenvalue")
        assert math.isfinite(value)
        assert abs(value) > 1e-9
    assert with_it == without
    assert torch.equal(spaces.alphas(one), spaces.alphas(other))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batches": 0}, "batches must be at least 1, got 0"),
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"tolerance": 0}, "tolerance must be positive, got 0"),
        ({"products": 1.5}, "products must be a whole number of at least 1, got 1.5"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], expected: str, message: Any) -> None:
    assert message(ValueError, Eigenvalue, **options) == expected


def test_it_is_given_as_an_object(message: Any) -> None:
    assert message(TypeError, UnrolledDARTS, eigenvalue={"batches": 1}).startswith(
        "eigenvalue must be an Eigenvalue, or None, got"
    )
