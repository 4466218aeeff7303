"""Perturbations: what the steps of the weights see, and that nothing else sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import golden
import nb201
import pytest
import spaces
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Moment
from nni_darts.search.perturbation import Perturbation, RandomSmoothing, WeightStep, normalised
from nni_darts.supernet.fused.run import FusedNodes
from search_spaces import DartsCNN


def step(rows: Sequence[Tensor], loss: Callable[..., Tensor] | None = None) -> WeightStep:
    return WeightStep(rows, loss or (lambda rows: rows[0].sum()))


def test_rows_are_cut_and_normalised_by_hand() -> None:
    p = torch.tensor([[0.5, -0.1, 0.3], [1.5, 0.5, 0.0], [-0.2, -0.1, -0.3]])
    expected = torch.tensor([[0.625, 0, 0.375], [2 / 3, 1 / 3, 0], [0, 1, 0]])
    torch.testing.assert_close(normalised(p), expected)


def test_noise_is_uniform_within_epsilon() -> None:
    rows = [torch.tensor([0.5, 0.5], dtype=torch.float64)] * 20_000
    noisy = torch.stack(RandomSmoothing(0.2)(step(rows)))
    # p1 / (p1 + p2) of p = 0.5 + U[-0.2, 0.2]: between 0.3 / 1 and 0.7 / 1, the mean 0.5.
    assert 0.3 <= noisy.min() < 0.31
    assert 0.69 < noisy.max() <= 0.7
    assert noisy[:, 0].mean().item() == pytest.approx(0.5, abs=0.002)
    torch.testing.assert_close(noisy.sum(-1), torch.ones(len(rows), dtype=torch.float64))


def test_epsilon_grows_as_published() -> None:
    smoothing = RandomSmoothing()
    assert smoothing.at(Moment(0, 50)).epsilon == 0.03
    assert smoothing.at(Moment(49, 50)).epsilon == pytest.approx(0.2946)


# The authors' own numbers: ../shared/golden/variants/sdarts.pt.


@pytest.mark.parametrize("case", range(4))
def test_the_weights_step_of_the_reference(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = golden.load("variants/sdarts.pt")
    x, y = reference["batch"]["train_x"], reference["batch"]["train_y"]
    random = reference["random"][case]
    network = nb201.Network(
        reference["init_state_dict"], random["alphas"], track_running_stats=True
    )
    epsilon = random["epsilon"].item()
    monkeypatch.setattr(torch, "rand_like", lambda p: (random["noise"] / epsilon + 1) / 2)
    with torch.no_grad():
        rows = network.mixture.rows()
    noisy = RandomSmoothing(epsilon)(step(rows))
    same = {"rtol": 1e-8, "atol": 1e-11}
    torch.testing.assert_close(torch.stack(rows), random["softmax"], **same)
    torch.testing.assert_close(torch.stack(noisy), random["weights"], **same)
    with network.mixture.held(noisy):
        logits = network.supernet(x)
    torch.testing.assert_close(logits, random["logits"], **same)
    loss = torch.nn.functional.cross_entropy(logits, y)
    torch.testing.assert_close(loss, random["loss"], **same)
    assert (len(random["weight_grads"]) > 0) == (case == 2)
    if case == 2:
        weights = [network.parameter(name) for name in reference["weight_names"]]
        gradients = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
        torch.testing.assert_close(gradients, random["weight_grads"], **same)


@pytest.mark.parametrize("epochs", [50, 100])
def test_epsilon_is_the_references_in_every_epoch(epochs: int) -> None:
    expected = golden.load("variants/sdarts.pt")[f"epsilon_{epochs}_epochs"]
    found = [RandomSmoothing().at(Moment(epoch, epochs)).epsilon for epoch in range(epochs)]
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected)


@dataclass(frozen=True)
class OnlyTheFirst(Perturbation):
    """All of the weight on the first choice."""

    def __call__(self, step: WeightStep) -> list[Tensor]:
        found = [torch.zeros_like(row) for row in step.rows]
        for row in found:
            row[0] = 1
        return found


@dataclass(frozen=True)
class Uphill(Perturbation):
    """One step up the training loss."""

    def __call__(self, step: WeightStep) -> list[Tensor]:
        rows = [row.clone().requires_grad_() for row in step.rows]
        slopes = torch.autograd.grad(step.loss(rows), rows)
        assert all(slope.abs().sum() > 0 for slope in slopes)
        return [row.detach() + slope.sign() for row, slope in zip(rows, slopes, strict=True)]


def searched(perturbation: Any, **options: Any) -> UnrolledDARTS:
    torch.manual_seed(0)
    strategy = UnrolledDARTS(perturbation=perturbation, **options)
    return spaces.search(spaces.Plain(), strategy, max_epochs=2)


@pytest.mark.parametrize("perturbation", [OnlyTheFirst(), Uphill(), "random_smoothing"])
def test_only_the_step_of_the_weights_sees_it(
    perturbation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[bool] = []
    original = spaces.TwoInputs.forward

    def forward(self: Any, x: Tensor) -> Tensor:
        if self.training:
            alpha = self.first._arch_alpha
            passes.append(torch.equal(self.first._softmax(alpha), alpha.softmax(-1)))
        return original(self, x)

    monkeypatch.setattr(spaces.TwoInputs, "forward", forward)
    strategy = searched(perturbation, hypergradient="first_order")
    # The architect's pass sees the mixing weights themselves, the weights' pass others.
    assert passes == [True, False] * strategy.oneshot_module.trainer.global_step
    for row in strategy.oneshot_module.export_probs().values():
        assert sum(row.values()) == pytest.approx(1)


def test_the_weights_are_trained_at_the_perturbed_weights() -> None:
    strategy = searched(OnlyTheFirst(), warmup_epochs=1)
    plain = searched(None, warmup_epochs=1)
    fresh = UnrolledDARTS()
    torch.manual_seed(0)
    start = fresh.mutate_model(spaces.Plain()).state_dict()
    moved = strategy.supernet.state_dict()
    # The second candidate of a layer is never seen, and weight decay there is none.
    assert torch.equal(moved["body.first.1.weight"], start["body.first.1.weight"])
    assert not torch.equal(moved["body.first.0.weight"], start["body.first.0.weight"])
    assert not torch.equal(
        plain.supernet.state_dict()["body.first.1.weight"], start["body.first.1.weight"]
    )


@pytest.mark.parametrize("perturbation", ["random_smoothing", "adversarial"])
def test_alphas_are_put_back_bit_for_bit(perturbation: str) -> None:
    # Trap 40.
    after: dict[str, list[Tensor]] = {"Adam": [], "SGD": []}
    strategy = UnrolledDARTS(perturbation={"name": perturbation, "epsilon": 0.3})

    def note(optimizer: Any, *_: Any) -> None:
        after[type(optimizer).__name__].append(spaces.alphas(strategy))

    hook = register_optimizer_step_post_hook(note)
    try:
        spaces.search(spaces.Plain(), strategy, max_epochs=2)
    finally:
        hook.remove()
    assert len(after["Adam"]) == 4
    assert all(map(torch.equal, after["Adam"], after["SGD"]))
    assert not torch.equal(after["Adam"][0], after["Adam"][1])


class Until(Callback):
    """The end of a search after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("perturbation", ["random_smoothing", "adversarial"])
def test_a_search_that_is_resumed_ends_as_one_that_never_stopped(
    perturbation: str, fused: bool, tmp_path: Path
) -> None:
    def run(folder: Path, epochs: int, resume: bool = False) -> UnrolledDARTS:
        torch.manual_seed(3)
        evaluator = spaces.evaluator(
            spaces.Recipe(),
            spaces.loader(8, shuffle=True),
            spaces.loader(8, seed=1),
            max_epochs=3,
            callbacks=[ModelCheckpoint(folder, save_last=True), Until(epochs)],
            enable_checkpointing=True,
        )
        if resume:
            last = str(folder / "last.ckpt")
            evaluator.fit_kwargs = {"ckpt_path": last, "weights_only": True}
        strategy = UnrolledDARTS(
            perturbation=perturbation,
            regularisers=["beta_decay"],
            hypergradient="first_order",
            arc_learning_rate=0.1,
            fused=fused,
        )
        spaces.start(DartsCNN(4, 3, num_nodes=2), strategy, evaluator)
        strategy.run()
        return strategy

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "parts", 1)
    torch.rand(7)  # other draws in between do not matter
    parts = run(tmp_path / "parts", 3, resume=True)
    assert any(isinstance(m, FusedNodes) for m in parts.supernet.modules()) == fused
    assert torch.equal(spaces.alphas(whole), spaces.alphas(parts))
    assert len(list(whole.supernet.parameters())) > 100
    for a, b in zip(whole.supernet.parameters(), parts.supernet.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_same_seed_gives_the_same_noise() -> None:
    first, second = (spaces.alphas(searched("random_smoothing")) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, spaces.alphas(searched(None)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "random_smothing",
            "unknown perturbation 'random_smothing'; did you mean 'random_smoothing'? "
            "(known: random_smoothing, adversarial)",
        ),
        (
            {"name": "random_smoothing", "epsilon": [0.03, 3]},
            "perturbation random_smoothing: epsilon must be in [0, 2], got 3",
        ),
        (
            {"name": "random_smoothing", "epsilom": 1},
            "unknown option of perturbation random_smoothing, 'epsilom'; did you mean 'epsilon'? "
            "(known: epsilon)",
        ),
    ],
)
def test_a_perturbation_that_there_is_not(given: Any, expected: str, message: Any) -> None:
    assert message(ValueError, UnrolledDARTS, perturbation=given) == expected
