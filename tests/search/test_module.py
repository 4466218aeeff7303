from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import golden
import pytest
import spaces
import torch
from nni.nas.nn.pytorch import LayerChoice
from nni.nas.oneshot.pytorch.profiler import ExpectationProfilerPenalty
from nni.nas.profiler import ExpressionProfiler
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from recorded_graph import OnTheCpu
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader
from waiting import NoWaiting, Waits

from nni_darts import UnrolledDARTS
from nni_darts.search.cuda_graph import capturable
from nni_darts.search.functions import finite_difference
from nni_darts.tasks.images.search_module import SearchRecipe
from nni_darts.tasks.images.settings import ImageSearch
from nni_darts.training.finite_losses import DivergedError, FiniteWatch

# Algorithm 1, through the real trainer.


class GoldenRecipe(spaces.LightningModule):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.model(x), y)

    def configure_optimizers(self) -> Any:
        c = self.config
        return SGD(self.parameters(), c["w_lr"], c["momentum"], weight_decay=c["w_weight_decay"])


@pytest.mark.parametrize(
    "file", ["golden_first_order_init0.5.pt", "golden_second_order_init0.5.pt"]
)
def test_the_trainer_repeats_the_reference(file: str) -> None:
    # Traps 7 and 20 at the place where users meet them: order of the two steps, clip, optimisers.
    reference = golden.Reference(file)
    config, steps = reference.golden["config"], reference.golden["steps"]
    batches = {
        half: DataLoader(
            [(s["batch"][f"{half}_x"], s["batch"][f"{half}_y"]) for s in steps], batch_size=None
        )
        for half in ("train", "val")
    }
    strategy = UnrolledDARTS(
        hypergradient="finite_difference" if config["unrolled"] else "first_order",
        arc_learning_rate=config["arch_lr"],
        arc_betas=config["arch_betas"],
        arc_weight_decay=config["arch_weight_decay"],
        gradient_clip_val=config["grad_clip"],
    )
    with torch.random.fork_rng():
        torch.set_default_dtype(torch.float64)
        try:
            space = golden.DartsCNN(config["C"], config["layers"], config["num_classes"])
            spaces.start(
                space,
                strategy,
                spaces.evaluator(
                    GoldenRecipe(config), batches["train"], batches["val"], precision="64-true"
                ),
            )
        finally:
            torch.set_default_dtype(torch.float32)
    ours = dict(strategy.supernet.named_parameters())
    theirs = dict(reference.supernet.named_parameters())
    for name, parameter in ours.items():
        parameter.data = theirs[name].data.clone()

    seen: list[tuple[Tensor, Tensor]] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            weights = [ours[golden.our_name(n)] for n in reference.golden["param_names"]]
            flat = torch.cat([w.detach().reshape(-1) for w in weights])
            seen.append((spaces.alphas(strategy), flat))

    strategy._mutated_model_space.evaluator.trainer.callbacks.append(Watch())
    strategy.run()
    for (alphas, weights), step in zip(seen, steps, strict=True):
        expected = torch.cat([a.reshape(-1) for a in order(strategy, step["alpha_after"])])
        torch.testing.assert_close(alphas, expected, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(weights, step["w_after"], rtol=1e-8, atol=1e-12)


def order(strategy: UnrolledDARTS, alphas: list[Tensor]) -> Iterator[Tensor]:
    """The reference's (14, 8) matrices as rows in the order of our parameters."""
    rows = {}
    for kind, matrix in zip(("normal", "reduce"), alphas, strict=True):
        edges = [(t, s) for t in range(2, 6) for s in range(t)]
        rows |= {f"{kind}_{t}_{s}": row for (t, s), row in zip(edges, matrix, strict=True)}
    for parameter in strategy.oneshot_module.arch_parameters():
        for label, known in strategy._arch_parameters.items():
            if known is parameter:
                yield rows[label]


def test_alpha_is_moved_before_w_and_by_validation_data() -> None:
    # Traps 7 and 8: redo one step by hand.
    strategy = UnrolledDARTS(arc_learning_rate=0.1)
    train, val = spaces.loader(8), spaces.loader(8, seed=5)
    spaces.start(spaces.Plain(), strategy, spaces.evaluator(spaces.Recipe(0.3), train, val))
    module = strategy.oneshot_module
    module.set_model(strategy.supernet)
    by_hand = copy.deepcopy(strategy.supernet)
    names = {id(p): n for n, p in strategy.supernet.named_parameters()}
    alpha_names = [names[id(p)] for p in module.arch_parameters()]
    strategy.run()

    parameters = dict(by_hand.named_parameters())
    alphas = [parameters[n] for n in alpha_names]
    weights = [p for n, p in parameters.items() if n not in alpha_names]
    sgd, adam = SGD(weights, 0.3), torch.optim.Adam(alphas, 0.1, (0.5, 0.999), weight_decay=1e-3)

    def loss(data: DataLoader) -> Tensor:
        (batch,) = data
        return nn.functional.cross_entropy(by_hand(batch[0]), batch[1])

    gradients = finite_difference(
        lambda: loss(train), lambda: loss(val), weights, alphas, sgd, [by_hand]
    )
    for alpha, gradient in zip(alphas, gradients, strict=True):
        alpha.grad = gradient
    adam.step()
    sgd.zero_grad()
    loss(train).backward()
    sgd.step()
    for name, parameter in strategy.supernet.named_parameters():
        # The validation batch was reshuffled, so that sums differ in their last bits.
        torch.testing.assert_close(parameter, parameters[name], rtol=1e-4, atol=1e-5)


def test_alphas_and_weights_are_disjoint_and_complete() -> None:
    # Trap 20.
    for space in (spaces.Plain(), spaces.NniCell()):
        strategy = spaces.search(space)
        alphas, weights = (
            [p for g in strategy.oneshot_module._optimizer(arch).param_groups for p in g["params"]]
            for arch in (True, False)
        )
        everything = list(strategy.supernet.parameters())
        assert {map(id, alphas)}.isdisjoint({map(id, weights)})
        assert sorted(map(id, [*alphas, *weights])) == sorted(map(id, everything))
        assert [id(a) for a in alphas] == [id(p) for p in strategy.oneshot_module.arch_parameters()]


def test_clip_never_enlarges_a_gradient() -> None:
    # Trap 18: the clipping factor is min(1, limit / norm).
    def weights_after(clip: float | None) -> Tensor:
        torch.manual_seed(0)
        strategy = UnrolledDARTS(hypergradient="first_order", gradient_clip_val=clip)
        spaces.search(spaces.Plain(), strategy)
        return torch.cat([p.detach().reshape(-1) for p in strategy.supernet.parameters()])

    assert torch.equal(weights_after(None), weights_after(1e6))
    assert not torch.equal(weights_after(None), weights_after(1e-3))


# What the architect's passes must not leave behind.


def test_logs_and_metrics_are_those_of_the_weight_step() -> None:
    counts = []

    class Watching(spaces.Recipe):
        def on_train_epoch_end(self) -> None:
            counts.append(self.accuracy._update_count)
            tensors = [v for v in self.accuracy.metric_state.values() if isinstance(v, Tensor)]
            counts.append(int(sum(t.sum() for t in tensors)))

    class Once(Watching):
        """Every other pass would log something else."""

    train = spaces.loader(16)
    spaces.search(spaces.Plain(), module=Once(), train=train)
    # Two batches of 8: two updates, and tp + fp + tn + fn over 16 images of 10 classes in micro.
    assert counts[0] == 2
    reference = spaces.MulticlassAccuracy(spaces.CLASSES, average="micro")
    for x, y in train:
        reference.update(torch.zeros(len(x), spaces.CLASSES), y)
    tensors = [v for v in reference.metric_state.values() if isinstance(v, Tensor)]
    assert counts[1] == int(sum(t.sum() for t in tensors))


class Normed(spaces.Classifying):
    def make_body(self) -> nn.Module:
        return nn.Sequential(
            LayerChoice([nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)], label="a"),
            nn.BatchNorm2d(4),
            nn.Dropout(0.5),
        )


@pytest.mark.parametrize("hypergradient", ["first_order", "finite_difference", "exact"])
def test_buffers_move_once_per_step(hypergradient: str) -> None:
    # Trap 15: running statistics and counters as if the architect had not been.
    strategy = spaces.search(Normed(), UnrolledDARTS(hypergradient=hypergradient))
    (norm,) = [m for m in strategy.supernet.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norm.num_batches_tracked == 2


def test_steps_count_weight_steps_only() -> None:
    strategy = spaces.search(spaces.Plain())
    assert strategy._mutated_model_space.evaluator.trainer.global_step == 2


def test_warmup_rests_alpha() -> None:
    before = {}

    class Watch(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            before[trainer.current_epoch] = spaces.alphas(strategy)

    strategy = UnrolledDARTS(warmup_epochs=2, arc_learning_rate=0.1)
    spaces.search(spaces.Plain(), strategy, max_epochs=4, callbacks=[Watch()])
    assert torch.equal(before[0], before[1])
    assert not torch.equal(before[1], before[2])
    assert not torch.equal(before[2], before[3])


def test_a_validation_metric_each_epoch() -> None:
    strategy = spaces.search(spaces.Plain())
    metrics = strategy._mutated_model_space.evaluator.trainer.callback_metrics
    assert {"val_loss", "train_acc", "architect_loss"} <= metrics.keys()


def test_the_gradient_of_a_penalty_reaches_alpha() -> None:
    # NNI's own penalty is computed from bare numbers, so that alpha never feels it.
    def preference(scale: float) -> float:
        torch.manual_seed(0)
        space = spaces.Plain()
        cost = space.simplify()["first"]

        class Cost(ExpressionProfiler):
            def __init__(self) -> None:
                self.expression = cost * 1.0

        penalty = ExpectationProfilerPenalty(Cost(), baseline=1.0, scale=scale)
        strategy = UnrolledDARTS(arc_learning_rate=0.1, penalty=penalty)
        spaces.search(space, strategy, max_epochs=4)
        return strategy.oneshot_module.export_probs()["first"][1]

    # The cost of choice 1 is 1, of choice 0 it is 0.
    assert preference(100.0) < 0.4 < 0.6 < preference(-100.0)


def test_options_that_change_are_logged_in_every_epoch() -> None:
    seen: list[dict[str, float]] = []

    class Look(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            found = trainer.callback_metrics.items()
            seen.append({n: v.item() for n, v in found if n.startswith("schedule/")})

    strategy = UnrolledDARTS(
        relaxation={"name": "gumbel", "tau": [4, 1]},
        regularisers=["beta_decay", "l2"],
        perturbation={"name": "random_smoothing", "epsilon": 0.1},
    )
    spaces.search(spaces.Plain(), strategy, max_epochs=4, callbacks=[Look()])
    assert [epoch["schedule/Gumbel.tau"] for epoch in seen] == [4, 3, 2, 1]
    assert [epoch["schedule/BetaDecay.weight"] for epoch in seen] == [0, 12.5, 25, 37.5]
    assert {name for epoch in seen for name in epoch} == {
        "schedule/Gumbel.tau",
        "schedule/BetaDecay.weight",
    }


# Stop, resume, fail.


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("half", ["train", "val"])
def test_a_loss_that_is_not_finite_stops_the_search(
    value: float, half: str, tmp_path: Path
) -> None:
    x, y = next(iter(spaces.loader(8)))
    good = DataLoader([(x, y)], batch_size=None)
    bad = DataLoader([(x, y), (x * value, y)], batch_size=None)
    train, val = (
        (bad, good) if half == "train" else (DataLoader([(x, y)] * 2, batch_size=None), bad)
    )
    strategy = UnrolledDARTS(hypergradient="first_order")
    with pytest.raises(DivergedError, match=r"is (nan|inf) in epoch 0, step 1"):
        spaces.search(spaces.Plain(), strategy, train=train, val=val)


class Scheduled(spaces.Recipe):
    def configure_optimizers(self) -> Any:
        sgd = SGD(self.parameters(), lr=self.lr, momentum=0.9)
        return [sgd], [CosineAnnealingLR(sgd, 4)]


def resumable(folder: Path, epochs: int, resume: bool = False, **method: Any) -> UnrolledDARTS:
    torch.manual_seed(3)
    checkpoint = ModelCheckpoint(folder, save_last=True)
    evaluator = spaces.evaluator(
        Scheduled(),
        spaces.loader(shuffle=True),
        max_epochs=4,
        callbacks=[checkpoint, StopAfter(epochs)],
        enable_checkpointing=True,
    )
    if resume:
        evaluator.fit_kwargs = {"ckpt_path": str(folder / "last.ckpt"), "weights_only": True}
    strategy = UnrolledDARTS(arc_learning_rate=0.1, **method)
    spaces.start(Normed(), strategy, evaluator)
    strategy.run()
    return strategy


class StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


METHODS: dict[str, dict[str, Any]] = {
    "as published": {},
    "GDAS": {"relaxation": "gumbel"},
    "DrNAS": {"relaxation": "dirichlet", "regularisers": ["kl"]},
    "FairDARTS": {"relaxation": "sigmoid", "regularisers": ["zero_one"]},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_search_continues_to_the_identical_alphas(method: str, tmp_path: Path) -> None:
    options = METHODS[method]
    whole = resumable(tmp_path / "whole", 4, **options)
    resumable(tmp_path / "parts", 2, **options)
    # Other draws in between must not matter.
    torch.rand(7)
    parts = resumable(tmp_path / "parts", 4, resume=True, **options)
    assert torch.equal(spaces.alphas(whole), spaces.alphas(parts))
    for a, b in zip(whole.supernet.parameters(), parts.supernet.parameters(), strict=True):
        assert torch.equal(a, b)
    for arch in (True, False):
        one, two = (s.oneshot_module._optimizer(arch).state_dict() for s in (whole, parts))
        assert repr(one) == repr(two)


def test_a_checkpoint_of_another_space_is_refused(tmp_path: Path) -> None:
    resumable(tmp_path, 1)
    evaluator = spaces.evaluator(Scheduled(), max_epochs=2)
    evaluator.fit_kwargs = {"ckpt_path": str(tmp_path / "last.ckpt"), "weights_only": True}
    strategy = UnrolledDARTS()
    spaces.start(spaces.Plain(), strategy, evaluator)
    with pytest.raises(
        ValueError, match=r"of another search: it lacks .*body.* the unknown .*body"
    ):
        strategy.run()


# Nothing in a step waits for the device.


@pytest.mark.parametrize("hypergradient", ["first_order", "finite_difference", "exact"])
def test_nothing_in_a_step_waits(hypergradient: str, monkeypatch: pytest.MonkeyPatch) -> None:
    OnTheCpu(monkeypatch)  # as on a GPU, Adam keeps its counts where the parameters are
    strategy = UnrolledDARTS(
        hypergradient=hypergradient, gradient_clip_val=5.0, log_prob_every_n_step=1
    )
    recipe = SearchRecipe(ImageSearch(epochs=1), spaces.CLASSES)
    spaces.start(Normed(), strategy, spaces.evaluator(recipe, spaces.loader(32), max_epochs=2))
    module = strategy.oneshot_module
    module.finite = FiniteWatch(at_once=lambda loss: False)
    step, steps = module.training_step, 0

    def guarded(batch: Any, batch_idx: int) -> Any:
        nonlocal steps
        steps += 1
        capturable(module._optimizer(arch=True), True)
        # The last batch of an epoch is where the losses are looked at.
        with nullcontext() if module.trainer.is_last_batch else NoWaiting():
            return step(batch, batch_idx)

    module.training_step = guarded
    strategy.run()
    assert steps == 8
    assert {"train_acc", "architect_loss"} <= module.trainer.callback_metrics.keys()


def test_the_guard_sees_a_metric_that_waits() -> None:
    metric = spaces.MulticlassAccuracy(spaces.CLASSES)
    with NoWaiting(), pytest.raises(Waits):
        metric.update(torch.zeros(2, spaces.CLASSES), torch.tensor([0, 1]))


@pytest.mark.parametrize("half", ["train", "val"])
def test_on_a_device_a_bad_loss_stops_before_anything_is_kept(half: str, tmp_path: Path) -> None:
    x, y = next(iter(spaces.loader(8)))
    good, bad = DataLoader([(x, y)] * 4, batch_size=None), [(x, y), (x * float("nan"), y)]
    bad = DataLoader([*bad, (x, y), (x, y)], batch_size=None)

    class Forbidden(Callback):
        def on_validation_start(self, *args: Any) -> None:
            raise AssertionError("nothing is measured any more")

    checkpoint = ModelCheckpoint(tmp_path, save_last=True)
    strategy = UnrolledDARTS(hypergradient="first_order")
    spaces.start(
        spaces.Plain(),
        strategy,
        spaces.evaluator(
            train=bad if half == "train" else good,
            val=good if half == "train" else bad,
            callbacks=[checkpoint, Forbidden()],
            enable_checkpointing=True,
        ),
    )
    strategy.oneshot_module.finite = FiniteWatch(at_once=lambda loss: False)
    what = "training loss" if half == "train" else "validation loss of the architect"
    with pytest.raises(DivergedError, match=f"the {what} is nan in epoch 0, step 1"):
        strategy.run()
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_within_an_epoch_is_looked_at_first(tmp_path: Path) -> None:
    x, y = next(iter(spaces.loader(8)))
    train = DataLoader([(x * float("nan"), y)] + [(x, y)] * 3, batch_size=None)
    checkpoint = ModelCheckpoint(tmp_path, save_last=True, every_n_train_steps=2)
    strategy = UnrolledDARTS(hypergradient="first_order")
    evaluator = spaces.evaluator(train=train, callbacks=[checkpoint], enable_checkpointing=True)
    spaces.start(spaces.Plain(), strategy, evaluator)
    strategy.oneshot_module.finite = FiniteWatch(at_once=lambda loss: False)
    with pytest.raises(DivergedError, match="epoch 0, step 0"):
        strategy.run()
    assert not list(tmp_path.iterdir())


# Memory.

MEMORY = """
    import sys; sys.path.insert(0, "tests/support")
    import warnings; warnings.filterwarnings("ignore")
    import resource, torch
    from torch import nn
    from nni_darts import UnrolledDARTS
    from nni_darts.search.bilevel_step import BilevelStep
    from nni_darts.search.parts import HYPERGRADIENTS
    from search_spaces import DartsCNN
    torch.manual_seed(0)
    strategy = UnrolledDARTS()
    net = strategy.mutate_model(DartsCNN(8, 4))
    alphas = [a for label, a in strategy._arch_parameters.items() if label.count("_") == 2]
    known = set(map(id, alphas))
    weights = [p for p in net.parameters() if id(p) not in known]
    sgd = torch.optim.SGD(weights, 0.025, momentum=0.9)
    x, y = torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,))
    def loss(): return nn.functional.cross_entropy(net(x), y)
    def step():
        HYPERGRADIENTS["{name}"]()(BilevelStep(loss, loss, weights, alphas, sgd, [net]))
        sgd.zero_grad(); loss().backward(); sgd.step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(); step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_peak_memory_of_the_second_order_step() -> None:
    def peak(name: str) -> int:
        code = textwrap.dedent(MEMORY).replace("{name}", name)
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return int(run.stdout.split()[-1])

    first = peak("first_order")
    assert peak("finite_difference") <= 1.25 * first
