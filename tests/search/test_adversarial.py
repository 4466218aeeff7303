"""SDARTS-ADV against the authors' own numbers, and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import golden
import nb201
import pytest
import spaces
import torch
from torch import Tensor, nn

from nni_darts import UnrolledDARTS
from nni_darts._common.schedule import Moment
from nni_darts.search.adversarial import Adversarial
from nni_darts.search.perturbation import WeightStep


def given(monkeypatch: pytest.MonkeyPatch, noise: Tensor, epsilon: float) -> None:
    """Let noise of U[-epsilon, epsilon] be this."""
    monkeypatch.setattr(torch, "rand_like", lambda p: (noise.view_as(p) / epsilon + 1) / 2)


@pytest.mark.parametrize("case", [0, 1])
def test_the_climb_of_the_reference(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = golden.load("variants/sdarts.pt")
    batch, pgd = reference["batch"], reference["pgd"][case]
    network = nb201.Network(reference["init_state_dict"], pgd["alphas"], track_running_stats=True)
    network.supernet.eval()
    epsilon = pgd["epsilon"].item()
    given(monkeypatch, pgd["random_start"], epsilon)

    def loss(rows: Sequence[Tensor]) -> Tensor:
        with network.mixture.held(rows):
            return network.loss(batch["train_x"], batch["train_y"])

    with torch.no_grad():
        rows = network.mixture.rows()
    found = torch.stack(Adversarial(epsilon)(WeightStep(rows, loss)))
    torch.testing.assert_close(found, pgd["weights"], rtol=1e-8, atol=1e-11)
    distance = (found - torch.stack(rows)).abs().max()
    assert distance.item() == pytest.approx(pgd["distance_from_softmax"].item())
    assert distance > epsilon  # trap 38


def climbed(loss: Any, **options: Any) -> list[Tensor]:
    rows = [torch.tensor([0.4, 0.6], dtype=torch.float64)]
    (found,) = Adversarial(**options)(WeightStep(rows, loss))
    return found.tolist()


def test_steps_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, torch.zeros(2, dtype=torch.float64), 0.1)
    # Two steps of 0.1 up the first entry and down the second, cut to the box round (0.4, 0.6).
    found = climbed(lambda rows: rows[0][0] - rows[0][1], epsilon=0.1, steps=2)
    assert found == pytest.approx([0.5, 0.5])
    # One step is as long as the box is wide, and ends at its wall.
    found = climbed(lambda rows: rows[0][0] - rows[0][1], epsilon=0.1, steps=1)
    assert found == pytest.approx([0.5, 0.5])
    # Four steps of 0.05, and the sum stays 1: two of them suffice.
    found = climbed(lambda rows: 2 * rows[0][1] - rows[0][0], epsilon=0.1, steps=4)
    assert found == pytest.approx([0.3, 0.7])


def test_it_is_undone_where_the_loss_fell(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, torch.tensor([0.1, -0.1], dtype=torch.float64), 0.1)
    losses = iter([1.0, 2.0, 0.5])
    assert climbed(lambda rows: rows[0][0] * 0 + next(losses), epsilon=0.1, steps=1) == [0.4, 0.6]
    losses = iter([1.0, 2.0, 1.5])
    found = climbed(lambda rows: rows[0][0] * 0 + next(losses), epsilon=0.1, steps=1)
    assert found == pytest.approx([0.5, 0.5])


def test_a_row_that_the_loss_does_not_see_keeps_its_noise() -> None:
    rows = [torch.tensor([0.4, 0.6]), torch.tensor([0.3, 0.7])]
    found = Adversarial(0.1)(WeightStep(rows, lambda rows: rows[0][0]))
    assert found[1].sum().item() == pytest.approx(1)
    assert 0 < (found[1] - rows[1]).abs().max() < 0.2


def test_epsilon_grows_as_published() -> None:
    assert Adversarial().at(Moment(0, 50)).epsilon == 0.03
    assert Adversarial().at(Moment(49, 50)).epsilon == pytest.approx(0.2946)


class Normed(spaces.Plain):
    """A space that counts statistics and draws."""

    def make_body(self) -> nn.Module:
        return nn.Sequential(super().make_body(), nn.BatchNorm2d(4), nn.Dropout(0.5))


def test_a_step_evaluates_without_a_trace() -> None:
    strategy = UnrolledDARTS(perturbation="adversarial", hypergradient="first_order")
    spaces.search(Normed(), strategy)
    (norm,) = [m for m in strategy.supernet.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norm.num_batches_tracked == 2
    assert norm.training


def test_only_the_step_of_the_weights_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[bool] = []
    original = spaces.TwoInputs.forward

    def forward(self: Any, x: Tensor) -> Tensor:
        if self.training:
            alpha = self.first._arch_alpha
            passes.append(torch.equal(self.first._softmax(alpha), alpha.softmax(-1)))
        return original(self, x)

    monkeypatch.setattr(spaces.TwoInputs, "forward", forward)
    torch.manual_seed(0)
    strategy = UnrolledDARTS(perturbation="adversarial", hypergradient="first_order")
    spaces.search(spaces.Plain(), strategy, max_epochs=2)
    assert len(passes) == 2 * strategy.oneshot_module.trainer.global_step
    assert all(passes[::2])
    # Where the loss fell, the step of the weights sees the mixing weights themselves.
    assert passes[1::2].count(False) >= len(passes) // 4


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epsilon": 3}, "perturbation adversarial: epsilon must be in [0, 2], got 3"),
        ({"steps": 0}, "perturbation adversarial: steps must be at least 1, got 0"),
        (
            {"step": 5},
            "unknown option of perturbation adversarial, 'step'; did you mean 'steps'? "
            "(known: epsilon, steps)",
        ),
    ],
)
def test_options_out_of_range(options: dict[str, Any], expected: str, message: Any) -> None:
    part = {"name": "adversarial", **options}
    assert message(ValueError, UnrolledDARTS, perturbation=part) == expected
