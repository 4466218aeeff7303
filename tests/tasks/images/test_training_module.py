from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from images import Images
from torch import Tensor
from torch.nn import functional as F

from nni_darts.genotypes.random_cells import draw
from nni_darts.runs.trainer import trainer
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.images.training_module import TrainingRecipe
from nni_darts.training.checkpoint import describe, load
from nni_darts.training.finite_losses import DivergedError
from nni_darts.training.run_folder import BEST, LAST, PREVIOUS
from search_spaces.darts_network import DartsNetwork
from search_spaces.operations import DropPath

SMALL: dict[str, Any] = {"channels": 4, "num_cells": 3, "epochs": 2, "learning_rate": 0.05}
GENOTYPE = draw(1, 3, num_nodes=2)[0]


def recipe(**changes: Any) -> TrainingRecipe:
    settings = ImageTraining(**{**SMALL, **changes})
    torch.manual_seed(0)
    network = DartsNetwork(
        GENOTYPE,
        settings.channels,
        settings.num_cells,
        num_classes=2,
        auxiliary=settings.auxiliary_weight > 0,
    )
    return TrainingRecipe(network, settings, describe(network, {}, "{}"))


class Record(pl.Callback):
    """Learning rate, drop path and norm of the gradient that each step takes."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.drop_path: list[float] = []
        self.norms: list[float] = []

    def on_before_zero_grad(
        self, trainer: pl.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        # Those of the step before, as it took them.
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.drop_path.append(pl_module.network.drop_path)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def fit(made: TrainingRecipe, folder: Path) -> Record:
    record = Record()
    torch.manual_seed(1)
    cpu = [torch.device("cpu")]
    trainer(made.settings, folder, cpu, True, [record], False).fit(made, datamodule=Images())
    return record


def weights(made: TrainingRecipe) -> Tensor:
    return torch.cat([p.detach().flatten() for p in made.network.parameters()])


def test_the_loss_has_the_auxiliary_head_weighted_and_is_smoothed() -> None:
    made = recipe(auxiliary_weight=0.4, label_smoothing=0.1)
    made.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    x, y = torch.randn(8, 3, 32, 32), torch.arange(8) % 2
    loss = made.training_step((x, y), 0)

    def smoothed(logits: Tensor) -> Tensor:
        """By hand: 0.9 on the label and 0.1 spread evenly over both classes."""
        log_p = F.log_softmax(logits, 1)
        target = torch.full_like(log_p, 0.05)
        target[torch.arange(8), y] += 0.9
        return -(target * log_p).sum(1).mean()

    logits, auxiliary = made.network(x)
    torch.testing.assert_close(loss, smoothed(logits) + 0.4 * smoothed(auxiliary))


def test_drop_path_grows_linearly_and_spares_the_skips(tmp_path: Path) -> None:
    made = recipe(drop_path=0.4, epochs=4, auxiliary_weight=0)
    assert fit(made, tmp_path).drop_path == pytest.approx([0, 0.1, 0.2, 0.3])
    for cell in made.network.cells:
        for node in cell.nodes:
            for edge in node.edges:
                has = any(isinstance(module, DropPath) for module in edge.modules())
                assert has != isinstance(edge, torch.nn.Identity)


def test_the_cosine(tmp_path: Path) -> None:
    rates = fit(recipe(epochs=4, auxiliary_weight=0), tmp_path / "to 0").rates
    cosine = [0.05 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates == pytest.approx(cosine)
    rates = fit(recipe(epochs=4, auxiliary_weight=0, learning_rate_min=0.01), tmp_path).rates
    assert rates == pytest.approx([0.01 + rate * 0.04 / 0.05 for rate in cosine])


def test_the_steps(tmp_path: Path) -> None:
    made = recipe(schedule="step", epochs=3, auxiliary_weight=0)
    assert fit(made, tmp_path).rates == pytest.approx([0.05, 0.05 * 0.97, 0.05 * 0.97**2])
    made = recipe(schedule="step", epochs=2, auxiliary_weight=0, learning_rate_decay=0.5)
    assert fit(made, tmp_path).rates == pytest.approx([0.05, 0.025])


def test_gradients_are_clipped(tmp_path: Path) -> None:
    assert max(fit(recipe(gradient_clip=0.01), tmp_path / "clipped").norms) <= 0.01001
    assert max(fit(recipe(gradient_clip=None), tmp_path / "free").norms) > 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"auxiliary_weight": 0.2},
        {"drop_path": 0.9},
        {"label_smoothing": 0.3},
        {"momentum": 0.1},
        {"weight_decay": 0.1},
        {"gradient_clip": 0.1},
        {"learning_rate": 0.01},
        {"learning_rate_min": 0.04},
        {"schedule": "step"},
        {"schedule": "step", "learning_rate_decay": 0.5},
        {"epochs": 1},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_every_setting_changes_the_outcome(changes: dict[str, Any], tmp_path: Path) -> None:
    # A step has one batch only, and drop path is 0 in the first epoch: three epochs tell all apart.
    usual, changed = recipe(epochs=3), recipe(**{"epochs": 3, **changes})
    fit(usual, tmp_path / "usual")
    fit(changed, tmp_path / "changed")
    assert not torch.equal(weights(usual), weights(changed))


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, second = recipe(drop_path=0.5), recipe(drop_path=0.5)
    fit(first, tmp_path / "a")
    fit(second, tmp_path / "b")
    assert torch.equal(weights(first), weights(second))


def test_float64(tmp_path: Path) -> None:
    made = recipe(precision="64-true")
    fit(made, tmp_path)
    assert weights(made).dtype == torch.float64


def test_the_best_epoch_is_kept_beside_the_last(tmp_path: Path) -> None:
    scores = iter([0.7, 0.9, 0.8])
    kept: list[Tensor] = []

    class Scripted(TrainingRecipe):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

        def on_validation_epoch_end(self) -> None:
            self.log("val_acc", next(scores))
            kept.append(weights(self))

    usual = recipe(epochs=3, auxiliary_weight=0)
    fit(Scripted(usual.network, usual.settings, usual.described), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEST, LAST, PREVIOUS]
    for name, expected in ((BEST, kept[1]), (LAST, kept[2])):
        found = torch.cat([p.detach().flatten() for p in load(tmp_path / name).parameters()])
        assert torch.equal(found, expected)
    assert not torch.equal(kept[1], kept[2])


def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path) -> None:
    made = recipe(learning_rate=1e30, gradient_clip=None, epochs=3)
    with pytest.raises(DivergedError, match=r"the training loss is (nan|inf) in epoch \d, step \d"):
        fit(made, tmp_path)
