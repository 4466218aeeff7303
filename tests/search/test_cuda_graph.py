"""Captured steps on the CPU (`recorded_graph`) against steps as usual: the same bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import spaces
import torch
from nni.nas.oneshot.pytorch.profiler import ExpectationProfilerPenalty
from nni.nas.profiler import ExpressionProfiler
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from recorded_graph import OnTheCpu
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.aggregation import CatMetric
from torchmetrics.classification import MulticlassF1Score, MulticlassRecall

from nni_darts import BilevelData, UnrolledDARTS
from nni_darts.search.cuda_graph import REHEARSALS, Cuda, capturable
from nni_darts.search.eigenvalue import Eigenvalue
from nni_darts.tasks.images.search_module import SearchRecipe
from nni_darts.tasks.images.settings import ImageSearch
from nni_darts.training.finite_losses import DivergedError
from search_spaces import DartsCNN

EPOCHS, STEPS = 3, 5


class Recipe(spaces.Recipe):
    """Momentum, and a learning rate for each epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        logits = self(x)
        loss = nn.functional.cross_entropy(logits, y)
        self.accuracy.update(logits, y)
        self.log("train_acc", self.accuracy, on_step=False, on_epoch=True)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return {"loss": loss, "logits": logits}

    def configure_optimizers(self) -> Any:
        sgd = SGD(self.parameters(), self.lr, 0.9, weight_decay=1e-3)
        return [sgd], [CosineAnnealingLR(sgd, EPOCHS)]


class Talkative(Recipe):
    """All sorts of logs and metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = MetricCollection(
            {
                "f1": MulticlassF1Score(spaces.CLASSES, average="micro"),
                "recall": MulticlassRecall(spaces.CLASSES, average="micro"),
            }
        )
        self.for_each_class = MulticlassRecall(spaces.CLASSES)  # its update waits
        self.all_logits = CatMetric()
        self.mean_loss = MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        output = super().training_step(batch, batch_idx)
        logits, y = output["logits"], batch[1]
        self.log("right", self.accuracy(logits, y), on_step=True, on_epoch=True)
        self.log_dict(self.scores(logits, y), on_step=False, on_epoch=True)
        self.for_each_class.update(logits, y)
        self.log("for_each_class", self.for_each_class, on_step=False, on_epoch=True)
        self.all_logits.update(logits)
        self.mean_loss(output["loss"])
        self.log("mean_loss", self.mean_loss, on_step=True, on_epoch=True)
        return output

    def on_train_epoch_end(self) -> None:
        self.log("all_logits", self.all_logits.compute().sum())
        self.all_logits.reset()


@dataclass
class Outcome(Callback):
    """All that a search leaves behind."""

    epochs: list[dict[str, Tensor]] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    steps: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    optimizers: list[Any] = field(default_factory=list)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *args: Any) -> None:
        self.outputs.append(outputs)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.epochs.append(dict(trainer.callback_metrics))

    def on_fit_end(self, trainer: Any, module: Any) -> None:
        self.steps = trainer.global_step
        self.state = copy.deepcopy(module.state_dict())
        self.optimizers = [o.state_dict() for o in trainer.optimizers]

    def assert_same(self, other: Outcome) -> None:
        """The same, bit for bit."""
        for name in ("epochs", "outputs", "steps", "state", "optimizers"):
            assert_same(getattr(self, name), getattr(other, name))


def assert_same(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


class Searches:
    """The same search, as usual and captured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.lines: list[str] = []
        self.cpu = OnTheCpu(monkeypatch)

    def run(
        self,
        captured: bool,
        recipe: Callable[[], Any] = Recipe,
        space: Callable[[], Any] = spaces.Plain,
        train: Any = None,
        val: Any = None,
        strategy: dict[str, Any] | None = None,
        fit: dict[str, Any] | None = None,
        callbacks: list[Callback] | None = None,
        max_epochs: int = EPOCHS,
        **trainer: Any,
    ) -> Outcome:
        torch.manual_seed(0)
        outcome = Outcome()
        made = UnrolledDARTS(**{"arc_learning_rate": 0.1, "cuda_graphs": True, **(strategy or {})})
        evaluator = spaces.evaluator(
            recipe(),
            train or spaces.loader(8 * STEPS, shuffle=True),
            val,
            max_epochs=max_epochs,
            callbacks=[outcome, *(callbacks or [])],
            **trainer,
        )
        evaluator.fit_kwargs |= fit or {}
        spaces.start(space(), made, evaluator)
        graph = made.oneshot_module.graph
        graph._capturing = self.cpu
        graph._say = self.lines.append
        if not captured:
            step = graph.step

            def as_usual(batch: Any, batch_idx: int) -> Any:
                graph._off = graph._begun  # the first step makes the same Adam of it
                return step(batch, batch_idx)

            graph.step = as_usual
        made.run()
        self.strategy = made
        return outcome

    def compare(self, **options: Any) -> Outcome:
        usual = self.run(False, **options)
        assert self.cpu.captures == 0
        self.lines.clear()
        self.cpu.rehearsals = 0
        captured = self.run(True, **options)
        captured.assert_same(usual)
        return captured


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    return Searches(monkeypatch)


@pytest.mark.parametrize("hypergradient", ["finite_difference", "exact", "first_order"])
def test_a_captured_search_is_the_search(searches: Searches, hypergradient: str) -> None:
    outcome = searches.compare(strategy={"hypergradient": hypergradient, "gradient_clip_val": 0.5})
    # The learning rate is captured: one capture for each.
    cpu = searches.cpu
    assert (cpu.captures, cpu.rehearsals) == (EPOCHS, EPOCHS * REHEARSALS)
    assert cpu.replays == EPOCHS * (STEPS - REHEARSALS)
    assert searches.lines == []
    assert outcome.steps == EPOCHS * STEPS
    assert len({float(e["train_loss"]) for e in outcome.epochs}) == EPOCHS
    # Outputs that somebody keeps do not change with later steps.
    assert len({float(o["loss"]) for o in outcome.outputs}) == EPOCHS * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"fused": False}, {"recompute": True}], ids=str)
def test_a_captured_search_of_the_paper_is_the_search(
    searches: Searches, options: dict[str, Any]
) -> None:
    data = BilevelData("digits", batch_size=128)
    data.setup()
    searches.compare(
        recipe=lambda: SearchRecipe(ImageSearch(epochs=EPOCHS), 10),
        space=lambda: DartsCNN(4, 3, num_nodes=2, in_channels=1),
        train=data.train_dataloader(),
        val=data.val_dataloader(),
        strategy=options,
    )
    assert searches.cpu.captures == EPOCHS
    assert searches.lines == []


def test_with_bf16_autocast(searches: Searches) -> None:
    searches.compare(precision="bf16-mixed")
    assert searches.cpu.replays == EPOCHS * (STEPS - REHEARSALS)


def test_the_eigenvalue_is_measured_between_captured_steps(searches: Searches) -> None:
    strategy = {"eigenvalue": Eigenvalue(), "hypergradient": "first_order"}
    outcome = searches.compare(strategy=strategy)
    assert len({float(e["eigenvalue"]) for e in outcome.epochs}) == EPOCHS
    assert searches.cpu.replays == EPOCHS * (STEPS - REHEARSALS)
    assert searches.lines == []


class Normed(spaces.Plain):
    """Buffers that move in every step."""

    def make_body(self) -> nn.Module:
        return nn.Sequential(super().make_body(), nn.BatchNorm2d(4))


def test_running_statistics_move_once_a_step(searches: Searches) -> None:
    outcome = searches.compare(space=Normed)
    (count,) = [v for k, v in outcome.state.items() if k.endswith("num_batches_tracked")]
    assert count == EPOCHS * STEPS
    assert searches.cpu.replays == EPOCHS * (STEPS - REHEARSALS)


class Constant(Recipe):
    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), self.lr, 0.9)


def test_one_capture_lasts_while_the_learning_rate_does(searches: Searches) -> None:
    searches.compare(recipe=Constant)
    assert (searches.cpu.captures, searches.cpu.rehearsals) == (1, REHEARSALS)


def test_weights_may_be_trained_by_adam(searches: Searches) -> None:
    class ByAdam(Recipe):
        def configure_optimizers(self) -> Any:
            return Adam(self.parameters(), 0.01)

    searches.compare(recipe=ByAdam, strategy={"hypergradient": "first_order"})
    assert searches.cpu.captures == 1


def test_warmup_and_search_are_captured_apart(searches: Searches) -> None:
    searches.compare(recipe=Constant, strategy={"warmup_epochs": 1})
    assert (searches.cpu.captures, searches.cpu.rehearsals) == (2, 2 * REHEARSALS)
    assert searches.lines == []


def test_a_smaller_last_batch_runs_as_usual(searches: Searches) -> None:
    # More often than it takes to rehearse it, but never in a row.
    epochs = REHEARSALS + 2
    train = spaces.loader(8 * STEPS + 3, shuffle=True)
    searches.compare(recipe=Constant, train=train, max_epochs=epochs)
    assert searches.cpu.captures == 1
    assert searches.cpu.rehearsals == REHEARSALS + epochs
    assert searches.lines == ["cuda_graphs: a batch of another shape than the others runs as usual"]


def test_weights_that_move_in_memory_are_captured_anew(searches: Searches) -> None:
    class Move(Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            for parameter in module.parameters():
                parameter.data = parameter.data.clone()

    searches.compare(recipe=Constant, callbacks=[Move()])
    assert searches.cpu.captures == EPOCHS


# What is not captured, and the line that says why.


class Waiting(Recipe):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        output = super().training_step(batch, batch_idx)
        output["logits"] = output["logits"] * (1 if float(output["loss"]) > 0 else 2)
        return output


class Numbers(Recipe):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("rate", 0.1)
        return super().training_step(batch, batch_idx)


class Dropped(spaces.Plain):
    def make_body(self) -> nn.Module:
        return nn.Sequential(super().make_body(), nn.Dropout(0.5))


class Growing(Recipe):
    """A weight that gets its first gradient in the step that is captured."""

    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        output = super().training_step(batch, batch_idx)
        if self.trainer.global_step >= REHEARSALS:
            output["loss"] = output["loss"] * (1 + self.late)
        return output


class EveryStep(Recipe):
    def configure_optimizers(self) -> Any:
        sgd = SGD(self.parameters(), self.lr, 0.9)
        return [sgd], [{"scheduler": StepLR(sgd, 1, 0.99), "interval": "step"}]


@dataclass
class Pair:
    """Of the user's own: neither the trainer nor a capture knows what is in it."""

    x: Tensor
    y: Tensor


class OfPairs(Recipe):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step((batch.x, batch.y), batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step((batch.x, batch.y), batch_idx)


def pairs() -> Any:
    return torch.utils.data.DataLoader(
        [Pair(x, y) for x, y in spaces.loader(8 * STEPS)], batch_size=None, collate_fn=lambda x: x
    )


class Hooked(Callback):
    def on_after_backward(self, trainer: Any, module: Any) -> None:
        """Something that Python does in every step."""


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"recipe": Waiting}, "the step cannot be captured (operation not permitted when stream"),
        ({"recipe": Numbers}, "the step cannot be captured ('rate' is logged as a float, which"),
        ({"space": Dropped}, "a step draws random numbers (dropout?), and a replay could not"),
        ({"recipe": Growing}, "an optimiser makes new state in a later step, which replays would"),
        ({"recipe": EveryStep}, "the learning rate changes within an epoch, and a capture holds"),
        (
            {"recipe": OfPairs, "train": pairs(), "val": pairs()},
            "a batch holds a Pair, which replays cannot renew as they do tensors; the steps run",
        ),
        ({"callbacks": [Hooked()]}, "Hooked.on_after_backward is called within a step; the steps"),
    ],
    ids=["waits", "number", "dropout", "growing", "every step", "object", "hook"],
)
def test_what_cannot_be_captured_runs_as_usual(
    searches: Searches, options: dict[str, Any], line: str
) -> None:
    searches.compare(**options)
    assert searches.cpu.replays == 0
    (said,) = searches.lines
    assert said.startswith(f"cuda_graphs: {line}")
    assert said.endswith(("as usual",))
    assert "\n" not in said


def test_a_penalty_runs_as_usual(searches: Searches) -> None:
    def penalised() -> tuple[Any, Any]:
        space = spaces.Plain()

        class Cost(ExpressionProfiler):
            def __init__(self) -> None:
                self.expression = space.simplify()["first"] * 1.0

        return space, ExpectationProfilerPenalty(Cost(), baseline=1.0, scale=1.0)

    space, penalty = penalised()
    searches.run(True, space=lambda: space, strategy={"penalty": penalty})
    assert (searches.cpu.captures, len(searches.lines)) == (0, 1)
    assert "the penalty is logged as numbers" in searches.lines[0]


@pytest.mark.parametrize(
    ("relaxation", "line"),
    [
        ({"name": "gumbel", "tau": 1}, "Gumbel draws in each pass which operations run; the steps"),
        ("dirichlet", "a step draws random numbers (dropout?), and a replay could not draw those"),
    ],
)
def test_draws_run_as_usual(searches: Searches, relaxation: Any, line: str) -> None:
    searches.run(True, space=spaces.Plain, strategy={"relaxation": relaxation})
    assert (searches.cpu.captures, len(searches.lines)) == (0, 1)
    assert searches.lines[0].startswith(f"cuda_graphs: {line}")


@pytest.mark.parametrize("perturbation", ["random_smoothing", "adversarial"])
def test_noise_runs_as_usual(searches: Searches, perturbation: str) -> None:
    searches.compare(space=spaces.Plain, strategy={"perturbation": perturbation})
    assert searches.cpu.replays == 0
    (said,) = searches.lines
    assert said.startswith("cuda_graphs: a step draws random numbers (dropout?), and a replay")


def test_without_cuda_it_runs_as_usual(capsys: pytest.CaptureFixture[str]) -> None:
    strategy = UnrolledDARTS(cuda_graphs=True)
    spaces.search(spaces.Plain(), strategy, max_epochs=2)
    plain = spaces.search(spaces.Plain(), UnrolledDARTS())
    assert spaces.alphas(strategy).shape == spaces.alphas(plain).shape
    said = [line for line in capsys.readouterr().out.splitlines() if "cuda_graphs" in line]
    assert said == [
        "cuda_graphs: there is no CUDA device, but cpu; the steps run as usual",
    ]


# Stop, resume, fail.


def test_a_bad_loss_is_named_by_its_own_step(searches: Searches) -> None:
    x, y = next(iter(spaces.loader(8)))
    good, bad = (x, y), (x * float("nan"), y)
    batches = [good] * 5 + [bad] + [good] * 2
    with pytest.raises(DivergedError, match="is nan in epoch 0, step 5"):
        searches.run(True, train=torch.utils.data.DataLoader(batches, batch_size=None))
    assert searches.cpu.replays == 3


def test_a_resumed_search_is_the_same(searches: Searches, tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 0

    def saved(name: str) -> dict[str, Any]:
        return {
            "callbacks": [ModelCheckpoint(tmp_path / name, save_last=True)],
            "enable_checkpointing": True,
        }

    whole = searches.run(True, **saved("whole"))
    options = saved("parts")
    options["callbacks"].append(Stop())
    searches.run(True, **options)
    rest = searches.run(
        True,
        fit={"ckpt_path": str(tmp_path / "parts" / "last.ckpt"), "weights_only": True},
        **saved("parts"),
    )
    assert len(rest.epochs) == EPOCHS - 1
    assert_same(rest.state, whole.state)
    assert_same(rest.optimizers, whole.optimizers)
    assert_same(rest.epochs, whole.epochs[1:])


def test_a_checkpoint_of_a_captured_search_goes_on_without(
    searches: Searches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = ModelCheckpoint(tmp_path, save_last=True)
    searches.run(True, callbacks=[checkpoint], enable_checkpointing=True)
    monkeypatch.undo()  # capturable is refused on the CPU again
    evaluator = spaces.evaluator(Recipe(), max_epochs=EPOCHS + 1)
    evaluator.fit_kwargs = {"ckpt_path": str(tmp_path / "last.ckpt"), "weights_only": True}
    strategy = UnrolledDARTS()
    spaces.start(spaces.Plain(), strategy, evaluator)
    strategy.run()
    assert not strategy.oneshot_module._optimizer(arch=True).param_groups[0]["capturable"]


def test_capturable_moves_what_counts_the_steps() -> None:
    weight = nn.Parameter(torch.zeros(2, device="meta"))
    adam, sgd = Adam([weight]), SGD([weight], 0.1)
    adam.state[weight] = {"step": torch.tensor(1.0)}
    capturable(sgd, True)
    assert "capturable" not in sgd.param_groups[0]
    capturable(adam, False)
    assert adam.state[weight]["step"].device.type == "cpu"
    capturable(adam, True)
    assert adam.param_groups[0]["capturable"]
    assert adam.state[weight]["step"].device.type == "meta"


@pytest.mark.gpu
@pytest.mark.parametrize("hypergradient", ["finite_difference", "exact", "first_order"])
def test_on_a_gpu_too(searches: Searches, hypergradient: str) -> None:
    options = {
        "strategy": {"hypergradient": hypergradient, "gradient_clip_val": 0.5},
        "accelerator": "gpu",
        "devices": 1,
    }
    usual = searches.run(False, **options)
    searches.lines.clear()
    searches.cpu = Cuda()  # type: ignore[assignment]
    captured = searches.run(True, **options)
    assert searches.lines == []
    torch.testing.assert_close(captured.state, usual.state)
    torch.testing.assert_close(captured.epochs, usual.epochs)
