from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import golden
import numpy as np
import pytest
import torch
from smooth import OPTIMIZERS, Smooth, flat, real_step, relative_error
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.functions import exact, finite_difference, first_order
from nni_darts.search.parts import HYPERGRADIENTS

# The two-variable problem of figure 2 of the paper, solved by hand.


class TwoVariables:
    """L_val = alpha w - 2 alpha + 1, L_train = w^2 - 2 alpha w + alpha^2."""

    def __init__(self, alpha: float = 2.0, w: float = -2.0, xi: float = 0.5) -> None:
        self.alpha = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
        self.w = torch.tensor(w, dtype=torch.float64, requires_grad=True)
        self.optimizer = SGD([self.w], lr=xi)

    def train_loss(self) -> Tensor:
        return self.w**2 - 2 * self.alpha * self.w + self.alpha**2

    def val_loss(self) -> Tensor:
        return self.alpha * self.w - 2 * self.alpha + 1

    def gradient(
        self, hypergradient: Callable[..., tuple[Tensor, ...]], clip: float | None = None
    ) -> float:
        (g,) = hypergradient(
            self.train_loss, self.val_loss, [self.w], [self.alpha], self.optimizer, clip=clip
        )
        return g.item()


@pytest.mark.parametrize(
    ("hypergradient", "expected"), [(first_order, -4), (finite_difference, 2), (exact, 2)]
)
def test_single_step_on_two_variables(
    hypergradient: Callable[..., tuple[Tensor, ...]], expected: float
) -> None:
    # Traps 1, 2, 3 and 9: a wrong divisor gives 5e-5, a step that does not move w -2, a swapped
    # sign -2, xi in the place of epsilon something else.
    assert TwoVariables().gradient(hypergradient) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("hypergradient", "clip", "expected"),
    [
        # dw L_train = -8, so gamma = 1/4 and w' = -1: dalpha L_val = -3. H = -4.
        (finite_difference, 2, -3 + 0.5 * 1 / 4 * 4),
        # In one dimension what is clipped off again is all that g could do.
        (exact, 2, -3),
        # Trap 18: gamma is at most 1, here it would be 2.
        (finite_difference, 16, 2),
        (exact, 16, 2),
        (first_order, 2, -4),
    ],
)
def test_clipped_step_on_two_variables(
    hypergradient: Callable[..., tuple[Tensor, ...]], clip: float, expected: float
) -> None:
    assert TwoVariables().gradient(hypergradient, clip) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("hypergradient", [finite_difference, exact])
@pytest.mark.parametrize(("xi", "expected"), [(0.1, 1.6667), (0.5, 1.0), (0.7, 0.8333)])
def test_fixed_point_on_two_variables(
    hypergradient: Callable[..., tuple[Tensor, ...]], xi: float, expected: float
) -> None:
    assert fixed_point(hypergradient, xi) == pytest.approx(expected, abs=1e-3)


def test_fixed_point_of_first_order_is_not_the_optimum() -> None:
    assert fixed_point(first_order, 0.5) == pytest.approx(2.0, abs=1e-3)


def fixed_point(hypergradient: Callable[..., tuple[Tensor, ...]], xi: float) -> float:
    problem = TwoVariables(xi=xi)
    alpha_optimizer = SGD([problem.alpha], lr=0.1)
    for _ in range(2000):
        problem.alpha.grad = torch.tensor(problem.gradient(hypergradient), dtype=torch.float64)
        alpha_optimizer.step()
        problem.optimizer.zero_grad()
        problem.train_loss().backward(inputs=[problem.w])
        problem.optimizer.step()
    assert problem.w.item() == pytest.approx(problem.alpha.item(), abs=1e-3)
    return problem.alpha.item()


@pytest.mark.parametrize("warm", [False, True], ids=["first step", "with buffers"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hypergradients_against_autograd_through_the_optimiser(name: str, warm: bool) -> None:
    # A second way to the derivative: w' by the optimiser's own step, differentiated as a whole.
    problem = Smooth()
    optimizer = OPTIMIZERS[name](problem.weights)
    if warm:
        for _ in range(2):
            real_step(problem, optimizer)
    copied = copy.deepcopy(problem)
    w = [weight.detach().clone().requires_grad_() for weight in problem.weights]
    copied.put(w)
    first = torch.autograd.grad(copied.val_loss(), copied.alphas)
    gradients = torch.autograd.grad(copied.train_loss(), w, create_graph=True)
    copied.put(differentiable_step(optimizer, problem.weights, w, gradients))
    expected = torch.autograd.grad(copied.val_loss(), copied.alphas)

    found = {
        hypergradient: problem.hypergradient(hypergradient, optimizer)
        for hypergradient in HYPERGRADIENTS
    }
    assert relative_error(found["exact"], expected) < 1e-12
    # The difference is of second order in epsilon = 0.01 / ||v||.
    assert relative_error(found["finite_difference"], expected) < 3e-3
    assert relative_error(found["first_order"], first) < 1e-12
    assert relative_error(first, expected) > 1e-4


def differentiable_step(
    optimizer: Optimizer, weights: list[Tensor], w: list[Tensor], gradients: Any
) -> list[Tensor]:
    """The weights after the step of the optimiser, as functions of the gradients."""
    groups = [group for group in optimizer.param_groups for _ in group["params"]]
    states = [dict(optimizer.state.get(weight, {})) for weight in weights]
    through = torch_sgd if isinstance(optimizer, SGD) else torch_adam
    parts = zip(w, gradients, groups, states, strict=True)
    return [through(optimizer, w_.detach(), g, group, state) for w_, g, group, state in parts]


def torch_sgd(_: Any, w: Tensor, g: Tensor, group: Any, state: Any) -> Tensor:
    """By hand: torch's own first step takes the gradient that it buffers for a constant."""
    d = (-g if group["maximize"] else g) + group["weight_decay"] * w
    if group["momentum"]:
        old = state.get("momentum_buffer")
        buf = d if old is None else group["momentum"] * old + (1 - group["dampening"]) * d
        d = d + group["momentum"] * buf if group["nesterov"] else buf
    return w - group["lr"] * d


def torch_adam(optimizer: Any, w: Tensor, g: Tensor, group: Any, state: Any) -> Tensor:
    """By torch's own step, which can be differentiated."""
    stepped = w.clone()
    stepped.grad = g
    settings = {k: v for k, v in group.items() if k not in ("params", "differentiable", "foreach")}
    settings.pop("decoupled_weight_decay", None)  # the class says it
    twin = type(optimizer)([stepped], **settings, differentiable=True, foreach=False)
    for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        twin.state[stepped][name] = state.get(name, torch.zeros_like(w)).clone()
    # In float64: from a count in float32 torch takes the bias correction in float32.
    twin.state[stepped]["step"] = torch.as_tensor(state.get("step", 0.0)).double()
    twin.step()
    return stepped


# The clip of the virtual step.

CLIP = 0.25


def clipped_step(problem: Smooth, optimizer: Optimizer) -> float:
    """A real step with torch's clip; the norm of the gradient before."""
    optimizer.zero_grad()
    problem.train_loss().backward(inputs=problem.weights)
    norm = nn.utils.clip_grad_norm_(problem.weights, CLIP)
    optimizer.step()
    return norm.item()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_clipped_virtual_step_is_the_clipped_step_of_the_optimiser(name: str) -> None:
    problem = Smooth()
    optimizer = OPTIMIZERS[name](problem.weights)
    assert clipped_step(problem, optimizer) > 2 * CLIP
    seen: list[list[Tensor]] = []

    def val_loss() -> Tensor:
        seen.append([w.detach().clone() for w in problem.weights])
        return problem.val_loss()

    finite_difference(
        problem.train_loss, val_loss, problem.weights, problem.alphas, optimizer, (), CLIP
    )
    assert clipped_step(problem, optimizer) > 2 * CLIP
    for got, expected in zip(seen[0], problem.weights, strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["plain", "nesterov", "groups", "amsgrad", "adam, decoupled"])
def test_exact_is_the_slope_of_the_loss_after_a_clipped_step(name: str) -> None:
    # Second way: differences in alpha itself, through torch's own clip and step.
    problem = Smooth()
    optimizer = OPTIMIZERS[name](problem.weights)
    clipped_step(problem, optimizer)

    def loss_after_step(shift: float, alpha: Tensor, i: int) -> float:
        weights = [w.detach().clone() for w in problem.weights]
        state, value = copy.deepcopy(optimizer.state_dict()), alpha[i].item()
        with torch.no_grad():
            alpha[i] += shift
            clipped = torch.enable_grad()(clipped_step)(problem, optimizer)
            assert clipped > CLIP
            loss = problem.val_loss().item()
            alpha[i] = value
            for w, before in zip(problem.weights, weights, strict=True):
                w.copy_(before)
        optimizer.load_state_dict(state)
        return loss

    h = 1e-5
    slopes = [
        (loss_after_step(h, alpha, i) - loss_after_step(-h, alpha, i)) / (2 * h)
        for alpha in problem.alphas
        for i in range(len(alpha))
    ]
    found = problem.hypergradient("exact", optimizer, CLIP)
    assert relative_error(found, [torch.tensor(slopes)]) < 1e-6
    assert relative_error(problem.hypergradient("exact", optimizer), found) > 1e-2


def test_finite_difference_takes_the_factor_of_the_clip_for_a_constant() -> None:
    problem = Smooth()
    optimizer = SGD(problem.weights, lr=0.1)
    gradients = torch.autograd.grad(problem.train_loss(), problem.weights)
    gamma = CLIP / flat(gradients).norm().item()
    assert gamma < 1
    found = problem.hypergradient("finite_difference", optimizer, CLIP)
    # Without weight decay it is as if the learning rate were smaller.
    smaller = SGD(problem.weights, lr=0.1 * gamma)
    assert relative_error(found, problem.hypergradient("finite_difference", smaller)) < 1e-5
    assert relative_error(problem.hypergradient("exact", optimizer, CLIP), found) > 1e-3


@pytest.mark.parametrize("name", ["finite_difference", "exact"])
def test_a_wide_clip_changes_nothing(name: str) -> None:
    problem = Smooth()
    optimizer = SGD(problem.weights, lr=0.1, momentum=0.9)
    free = problem.hypergradient(name, optimizer)
    wide = problem.hypergradient(name, optimizer, 1e6)
    assert all(torch.equal(a, b) for a, b in zip(wide, free, strict=True))


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_everything_is_given_back_bit_for_bit(name: str) -> None:
    # Traps 15 and 16.
    problem = Smooth(dropout=0.5)
    optimizer = SGD(problem.weights, lr=0.1, momentum=0.9)
    real_step(problem, optimizer)
    before = copy.deepcopy([problem.model.state_dict(), optimizer.state_dict(), problem.alphas])
    storage = [t.data_ptr() for t in [*problem.weights, *problem.model.buffers()]]
    random_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    grads = [w.grad.clone() for w in problem.weights]

    problem.hypergradient(name, optimizer)

    after = [problem.model.state_dict(), optimizer.state_dict(), problem.alphas]
    assert repr(before) == repr(after)
    for key, value in problem.model.state_dict().items():
        assert torch.equal(value, before[0][key]), key
    assert storage == [t.data_ptr() for t in [*problem.weights, *problem.model.buffers()]]
    assert torch.equal(torch.get_rng_state(), random_state[0])
    assert np.array_equal(np.random.get_state()[1], random_state[1])
    assert all(torch.equal(w.grad, g) for w, g in zip(problem.weights, grads, strict=True))
    assert all(a.grad is None for a in problem.alphas)


@pytest.mark.parametrize("name", ["finite_difference", "exact"])
@pytest.mark.parametrize("failing_call", [1, 2, 3, 4])
def test_everything_is_given_back_after_an_exception(name: str, failing_call: int) -> None:
    problem = Smooth()
    optimizer = SGD(problem.weights, lr=0.1)
    before = copy.deepcopy(problem.model.state_dict())
    calls = 0

    def failing(loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            nonlocal calls
            calls += 1
            result = loss()
            if calls == failing_call:
                raise RuntimeError("planted")
            return result

        return run

    def run() -> None:
        step = BilevelStep(
            failing(problem.train_loss),
            failing(problem.val_loss),
            problem.weights,
            problem.alphas,
            optimizer,
            [problem.model],
        )
        HYPERGRADIENTS[name]()(step)

    if failing_call > 2 and name == "exact":
        run()  # two passes are all that it takes
    else:
        with pytest.raises(RuntimeError, match="planted"):
            run()
    for key, value in problem.model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_the_same_dropout_masks_in_all_passes() -> None:
    # Trap 17: with masks redrawn the difference would be noise, orders of magnitude too large.
    problem = Smooth(dropout=0.5)
    optimizer = SGD(problem.weights, lr=0.1)
    fd = problem.hypergradient("finite_difference", optimizer)
    assert relative_error(fd, problem.hypergradient("exact", optimizer)) < 1e-2

    redrawn = Smooth(dropout=0.5)
    calls = iter(range(100))

    def loss_with_new_masks() -> Tensor:
        torch.manual_seed(next(calls))
        return redrawn.train_loss()

    wrong = finite_difference(
        loss_with_new_masks,
        redrawn.val_loss,
        redrawn.weights,
        redrawn.alphas,
        SGD(redrawn.weights, lr=0.1),
        [redrawn.model],
    )
    assert relative_error(wrong, fd) > 0.1


def test_masks_are_those_of_the_coming_step() -> None:
    problem = Smooth(dropout=0.5)
    optimizer = SGD(problem.weights, lr=0.1)
    torch.manual_seed(5)
    masks = []
    problem.dropout.register_forward_hook(lambda m, i, o: masks.append(o != 0))
    problem.hypergradient("finite_difference", optimizer)
    problem.train_loss()
    assert torch.equal(masks[0], masks[-1])


def test_zero_vector_means_no_implicit_term() -> None:
    # Trap 19: v = 0 where L_val does not depend on w. No pass may run at infinite weights either.
    problem = TwoVariables()
    alpha = problem.alpha
    losses: list[float] = []

    def train_loss() -> Tensor:
        loss = problem.train_loss()
        losses.append(loss.item())
        return loss

    (g,) = finite_difference(
        train_loss, lambda: alpha**2 + 0 * problem.w, [problem.w], [alpha], problem.optimizer
    )
    assert g.item() == 4.0
    assert np.isfinite(losses).all()


def test_unused_weights_and_alphas() -> None:
    problem = Smooth()
    idle_weight, idle_alpha = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    problem.weights.append(idle_weight)
    problem.alphas.append(idle_alpha)
    optimizer = SGD(problem.weights, lr=0.1, weight_decay=0.1)
    fd = problem.hypergradient("finite_difference", optimizer)
    assert torch.equal(fd[-1], torch.zeros(3))
    assert relative_error(fd, problem.hypergradient("exact", optimizer)) < 1e-3


def test_zero_learning_rate_leaves_the_first_order() -> None:
    problem = Smooth()
    optimizer = SGD(problem.weights, lr=0.0)
    fd = problem.hypergradient("finite_difference", optimizer)
    assert relative_error(fd, problem.hypergradient("first_order", optimizer)) < 1e-14


def test_weights_are_really_moved_under_autocast() -> None:
    # Autocast caches low-precision copies of leaves: without clearing, w' would compute as w.
    torch.manual_seed(0)
    model = nn.Linear(8, 8, bias=False)
    alpha = nn.Parameter(torch.ones(1))
    x, y = torch.randn(2, 16, 8)
    optimizer = SGD(model.parameters(), lr=5.0)
    losses: list[float] = []

    def loss() -> Tensor:
        value = (alpha * model(x) - y).float().pow(2).mean()
        losses.append(value.item())
        return value

    with torch.autocast("cpu", dtype=torch.bfloat16):
        finite_difference(loss, loss, [model.weight], [alpha], optimizer)
        at_w, at_w_prime, *_ = losses
        assert at_w != at_w_prime
        loss()
    assert losses[-1] == at_w


def test_other_optimisers_are_refused_by_name() -> None:
    problem = Smooth()
    for name in ("finite_difference", "exact"):
        with pytest.raises(TypeError, match="got the weight optimiser RMSprop"):
            problem.hypergradient(name, RMSprop(problem.weights))
    problem.hypergradient("first_order", RMSprop(problem.weights))


def test_adam_at_weights_whose_gradients_are_zero() -> None:
    # sqrt(v) has no derivative at v = 0, where the step itself has one.
    problem = Smooth()
    idle = nn.Parameter(torch.ones(2).double())
    problem.weights.append(idle)
    train_loss = problem.train_loss
    problem.train_loss = lambda: train_loss() + 0 * idle.sum()  # type: ignore[method-assign]
    optimizer = Adam(problem.weights, lr=0.01)
    exact = problem.hypergradient("exact", optimizer)
    problem.weights.pop()
    assert torch.isfinite(flat(exact)).all()
    assert torch.equal(flat(exact), flat(problem.hypergradient("exact", optimizer)))


def test_a_weight_outside_the_optimiser_is_refused() -> None:
    problem = Smooth()
    with pytest.raises(ValueError, match="1 of 6 are not"):
        problem.hypergradient("finite_difference", SGD(problem.weights[1:], lr=0.1))


# The authors' code, run in float64 on a small supernet: ../shared/golden/README.md.


@pytest.mark.parametrize(
    "file", ["golden_first_order_init0.5.pt", "golden_second_order_init0.5.pt"]
)
def test_two_iterations_of_the_reference(file: str) -> None:
    # Traps 7 (alpha first, then w at the new alpha) and 20 (alphas out of the clip) fail w_after.
    reference = golden.Reference(file)
    config = reference.golden["config"]
    weights, alphas = reference.weights, reference.alphas
    sgd = SGD(weights, config["w_lr"], config["momentum"], weight_decay=config["w_weight_decay"])
    adam = Adam(
        alphas,
        config["arch_lr"],
        config["arch_betas"],
        weight_decay=config["arch_weight_decay"],
    )
    for step in reference.golden["steps"]:
        batch = step["batch"]

        def train_loss(batch: Any = batch) -> Tensor:
            return reference.loss(batch["train_x"], batch["train_y"])

        def val_loss(batch: Any = batch) -> Tensor:
            return reference.loss(batch["val_x"], batch["val_y"])

        arguments = (train_loss, val_loss, weights, alphas, sgd, [reference.supernet])
        if config["unrolled"]:
            gradients = finite_difference(*arguments)
            assert relative_error(exact(*arguments), step["alpha_grad_exact"]) < 1e-8
        else:
            gradients = first_order(*arguments)
        assert relative_error(gradients, step["alpha_grad"]) < 1e-8
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        adam.step()
        assert relative_error(alphas, step["alpha_after"]) < 1e-8

        sgd.zero_grad()
        loss = train_loss()
        assert loss.item() == pytest.approx(step["w_loss"].item(), rel=1e-8)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, config["grad_clip"])
        sgd.step()
        assert relative_error(weights, [step["w_after"]]) < 1e-8


def test_finite_difference_approximates_exact_where_the_network_is_smooth() -> None:
    reference = golden.Reference("golden_second_order_init0.5_smooth.pt", smooth=True)
    config = reference.golden["config"]
    sgd = SGD(
        reference.weights,
        config["w_lr"],
        config["momentum"],
        weight_decay=config["w_weight_decay"],
    )
    step = reference.golden["steps"][0]
    batch = step["batch"]
    arguments = (
        lambda: reference.loss(batch["train_x"], batch["train_y"]),
        lambda: reference.loss(batch["val_x"], batch["val_y"]),
        reference.weights,
        reference.alphas,
        sgd,
        [reference.supernet],
    )
    by_difference, by_derivative = finite_difference(*arguments), exact(*arguments)
    assert relative_error(by_difference, step["alpha_grad"]) < 1e-8
    assert relative_error(by_derivative, step["alpha_grad_exact"]) < 1e-8
    # The implicit terms alone, without the large direct one that they share.
    direct = flat(step["dalpha_direct"])
    implicit = [flat(by_difference) - direct], [flat(by_derivative) - direct]
    assert relative_error(*implicit) < 2e-3
