"""Searches on a GPU in the real trainer: captured or not, stopped and resumed, never waiting."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import RawFormatModelSpace
from pytorch_lightning.callbacks import Callback

from nni_darts import BilevelData, UnrolledDARTS
from nni_darts.runs.evaluator import search_evaluator
from nni_darts.tasks.images.search_module import SearchRecipe
from nni_darts.tasks.images.settings import ImageSearch
from search_spaces import DartsCNN

pytestmark = pytest.mark.gpu

STEPS, EPOCHS = 10, 2
HYPERGRADIENTS = ["finite_difference", "exact", "first_order"]


class Outcome(Callback):
    """Weights, alphas and state of the optimisers at the end; the module while it trains."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        trainer.should_stop = trainer.current_epoch == self.stop_after

    def on_fit_end(self, trainer: Any, module: Any) -> None:
        self.state = copy.deepcopy(module.state_dict())
        self.optimizers = [copy.deepcopy(o.state_dict()["state"]) for o in trainer.optimizers]
        self.steps = trainer.global_step


class FailsWhereItWaits(Callback):
    """Makes every wait of the CPU for the GPU within the steps 5 to 8 of an epoch an error."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 5:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 8:
            torch.cuda.set_sync_debug_mode("default")
            self.passed = True


def search(
    folder: Path, callbacks: list[Callback], precision: str = "32-true", **strategy: Any
) -> None:
    """Two epochs of ten steps on digits, from the checkpoint in `folder` if one lies there."""
    pl.seed_everything(3, verbose=False)
    folder.mkdir(exist_ok=True)
    settings = ImageSearch.model_validate(
        {"epochs": EPOCHS, "batch_size": 32, "precision": precision}
    )
    data = BilevelData("digits", batch_size=32, on_device=True)
    evaluator = search_evaluator(
        SearchRecipe(settings, data.num_classes),
        settings,
        data,
        folder,
        torch.device("cuda", 0),
        callbacks,
        progress_bar=False,
    )
    evaluator.trainer.limit_train_batches = STEPS
    evaluator.trainer.limit_val_batches = 2
    space = DartsCNN(8, 4, num_nodes=3, in_channels=1)
    UnrolledDARTS(arc_learning_rate=0.01, **strategy)(
        RawFormatModelSpace(space, evaluator), SequentialExecutionEngine()
    )


def assert_same(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True, check_device=False)


def assert_same_outcome(a: Outcome, b: Outcome) -> None:
    assert_same(a.state, b.state)
    for own, other in zip(a.optimizers, b.optimizers, strict=True):
        for key, values in own.items():
            for name in ("momentum_buffer", "exp_avg", "exp_avg_sq"):
                if name in values:
                    assert_same(values[name], other[key][name])
    assert a.steps == b.steps == EPOCHS * STEPS


@pytest.mark.parametrize("precision", ["32-true", "tf32", "bf16-mixed"])
@pytest.mark.parametrize("hypergradient", HYPERGRADIENTS)
def test_captured_equals_uncaptured(
    hypergradient: str, precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, captured = Outcome(), Outcome()
    options: dict[str, Any] = {"hypergradient": hypergradient, "precision": precision}
    search(tmp_path / "usual", [usual], **options)
    search(tmp_path / "captured", [captured], cuda_graphs=True, **options)
    assert "run as usual" not in capsys.readouterr().out
    assert_same_outcome(captured, usual)


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_a_resumed_search_is_the_same(cuda_graphs: bool, tmp_path: Path) -> None:
    whole, rest = Outcome(), Outcome()
    search(tmp_path / "whole", [whole], cuda_graphs=cuda_graphs)
    search(tmp_path / "parts", [Outcome(stop_after=0)], cuda_graphs=cuda_graphs)
    search(tmp_path / "parts", [rest], cuda_graphs=cuda_graphs)
    assert_same_outcome(rest, whole)


@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("hypergradient", HYPERGRADIENTS)
def test_a_step_never_waits_for_the_gpu(
    hypergradient: str, cuda_graphs: bool, tmp_path: Path
) -> None:
    watch = FailsWhereItWaits()
    try:
        search(tmp_path, [watch], hypergradient=hypergradient, cuda_graphs=cuda_graphs)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watch.passed


@pytest.mark.parametrize("hypergradient", HYPERGRADIENTS)
def test_fused_equals_plain(hypergradient: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        made = {}
        for fused in (True, False):
            torch.manual_seed(0)
            strategy = UnrolledDARTS(fused=fused)
            made[fused] = strategy.mutate_model(DartsCNN(8, 3, num_nodes=3)).cuda()
    finally:
        torch.set_default_dtype(torch.float32)
    x = torch.randn(8, 3, 16, 16, dtype=torch.float64, device="cuda")
    outputs = {fused: model(x) for fused, model in made.items()}
    torch.testing.assert_close(outputs[True], outputs[False], rtol=1e-11, atol=1e-11)
    gradients = {
        fused: torch.autograd.grad(outputs[fused].square().sum(), list(model.parameters()))
        for fused, model in made.items()
    }
    torch.testing.assert_close(gradients[True], gradients[False], rtol=1e-9, atol=1e-9)
