from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import spaces
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from validated import Recipe, cells

from nni_darts import UnrolledDARTS
from nni_darts.search.perturbation import RandomSmoothing
from nni_darts.search.perturbation_based import PerturbationBased, kinds_of
from nni_darts.search.projection import Node
from nni_darts.search.validation import SupernetValidation
from nni_darts.supernet.relaxation import Softmax
from nni_darts.supernet.restriction import Only, Without


class Notes(Callback):
    """What there is at the end of each epoch."""

    def __init__(self, strategy: UnrolledDARTS) -> None:
        self.strategy = strategy
        self.rates: list[float] = []
        self.fresh: list[bool] = []
        self.rows: list[dict[str, list[float]]] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.fresh.append(not self.optimizer(trainer).state)

    @staticmethod
    def optimizer(trainer: Any) -> Any:
        return next(o for o in trainer.optimizers if not hasattr(o, "is_arch_optimizer"))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        optimizer = self.optimizer(trainer)
        self.rates.append(optimizer.param_groups[0]["lr"])
        probabilities = self.strategy.oneshot_module.export_probs()
        self.rows.append({label: list(row.values()) for label, row in probabilities.items()})


def strategy_with(**options: Any) -> UnrolledDARTS:
    arguments = {"hypergradient": "first_order", "arc_learning_rate": 0.1}
    own = {
        name: options.pop(name)
        for name in ("fused", "relaxation", "perturbation")
        if name in options
    }
    selection = {"name": "perturbation", "metric": "loss", "epochs_between": 1, **options}
    return UnrolledDARTS(**{**arguments, **own}, selection=selection)


def search(
    strategy: UnrolledDARTS, space: Any = None, recipe: Any = None, epochs: int = 1, **trainer: Any
) -> Notes:
    torch.manual_seed(0)
    space = cells() if space is None else space
    notes = Notes(strategy)
    callbacks = [notes, *trainer.pop("callbacks", [])]
    fit = trainer.pop("fit", {})
    evaluator = spaces.evaluator(
        Recipe() if recipe is None else recipe, max_epochs=epochs, callbacks=callbacks, **trainer
    )
    evaluator.fit_kwargs.update(fit)
    spaces.start(space, strategy, evaluator)
    strategy.run()
    return notes


def test_every_edge_and_node_is_decided_after_the_search() -> None:
    strategy = strategy_with()
    notes = search(strategy)
    # 5 edges and 1 node with 3 of them, of each kind: 6 decisions in as many epochs.
    assert len(notes.rows) == 1 + 6
    decided = [sum(set(row) <= {0.0, 1.0} for row in rows.values()) for rows in notes.rows]
    assert decided == [0, 2, 4, 6, 8, 10, 10]
    last = notes.rows[-1]
    for kind in ("normal", "reduce"):
        assert [sum(map(sum, (last[f"{kind}_{n}_{s}"] for s in range(n)))) for n in (2, 3)] == [
            2,
            2,
        ]
    assert all(row[0] == 0.0 for row in last.values())  # none is never kept
    ((score, sample),) = strategy.top_k(5)
    assert score == 0.0
    names = ["none", "skip_connect", "max_pool_3x3"]
    for kind in ("normal", "reduce"):
        for node in (2, 3):
            for source in sample[f"{kind}_{node}"]:
                label = f"{kind}_{node}_{source}"
                assert sample[label] == names[last[label].index(1.0)]


def test_the_decisions_are_those_of_the_measured_scores() -> None:
    strategy = strategy_with()
    search(strategy)
    closing = strategy.oneshot_module.closing
    taken = closing.state["decisions"]
    edges = [d for d in taken if d["label"].count("_") == 2]
    assert len(taken) == 12
    assert len(edges) == 10
    for decision in edges:
        assert decision["kept"] == [min(decision["scores"], key=decision["scores"].get)]
        assert len(set(decision["scores"].values())) == 2
    for decision in taken:
        if decision not in edges:
            best = max(decision["scores"], key=decision["scores"].get)
            assert best not in decision["kept"]
    json.dumps(closing.state)


def test_the_weights_go_on_with_a_fresh_optimiser_at_a_tenth_of_the_rate() -> None:
    notes = search(strategy_with(), epochs=2)
    assert notes.rates[:2] == pytest.approx([0.05, 0.0], abs=1e-9)
    assert notes.rates[2:] == pytest.approx([0.01] * 6)
    assert notes.fresh == [True, False, True, *[False] * 5]
    notes = search(strategy_with(learning_rate=0.3), epochs=2)
    assert notes.rates[2:] == pytest.approx([0.3] * 6)


def test_epochs_between_decisions() -> None:
    notes = search(strategy_with(epochs_between=2))
    decided = [sum(set(row) <= {0.0, 1.0} for row in rows.values()) for rows in notes.rows]
    assert decided == [0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 10]


def test_a_captured_step_is_another_one_after_each_decision() -> None:
    keys = []

    class Look(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            keys.append(pl_module.parts_now)

    search(strategy_with(epochs_between=2), callbacks=[Look()])
    changes = [one != other for one, other in itertools.pairwise(keys)]
    assert changes == [True, False] * 5 + [True]


def test_blank_alphas_stay_as_they_were_made() -> None:
    blank, learnt = strategy_with(fix_alpha=True), strategy_with()
    found = [search(each) and spaces.alphas(each) for each in (blank, learnt)]
    torch.manual_seed(0)
    fresh = strategy_with()
    spaces.start(cells(), fresh, spaces.evaluator(Recipe()))
    fresh.oneshot_module.set_model(fresh.supernet)
    assert torch.equal(found[0], spaces.alphas(fresh))
    assert not torch.equal(found[1], spaces.alphas(fresh))
    # Nor is a gradient of theirs computed.
    assert not any(alpha.requires_grad for alpha in blank.oneshot_module.arch_parameters())


def test_fused_and_plain_decide_alike() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        found = []
        for fused in (True, False):
            strategy = strategy_with(fused=fused)
            search(strategy, precision="64-true")
            found.append(strategy.oneshot_module.closing.state["decisions"])
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(*found, strict=True):
        assert one["kept"] == other["kept"]
        assert list(one["scores"].values()) == pytest.approx(list(other["scores"].values()))


def test_the_order_hangs_on_the_seed() -> None:
    orders = []
    for seed in (0, 0, 1):
        strategy = strategy_with()
        torch.manual_seed(seed)
        spaces.search(cells(), strategy, module=Recipe())
        orders.append(strategy.oneshot_module.closing.state["order"])
    assert orders[0] == orders[1] != orders[2]


@dataclass(frozen=True)
class Noisy(Softmax):
    """Draws in every pass."""

    draws: ClassVar[bool] = True

    def weights(self, alpha: Tensor) -> Tensor:
        return (alpha + torch.randn_like(alpha)).softmax(-1)


@pytest.mark.parametrize(
    ("after", "parts"),
    [
        (1, {}),
        (2, {}),
        (4, {}),
        (2, {"perturbation": "random_smoothing"}),
        (2, {"relaxation": Noisy()}),
    ],
)
def test_it_goes_on_bit_for_bit_in_the_middle(
    after: int, parts: dict[str, Any], tmp_path: Path
) -> None:
    class Keep(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch + 1 == after:
                trainer.save_checkpoint(tmp_path / "middle.ckpt")

    whole = strategy_with(**parts)
    expected = search(whole, callbacks=[Keep()])
    again = strategy_with(**parts)
    fit = {"ckpt_path": str(tmp_path / "middle.ckpt"), "weights_only": True}
    notes = search(again, fit=fit)
    assert notes.rows == expected.rows[after:]
    one, other = (s.oneshot_module for s in (whole, again))
    assert one.closing.state == other.closing.state
    assert whole.top_k(3) == again.top_k(3)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_space_without_nodes_has_its_layer_choices_decided() -> None:
    strategy = strategy_with()
    notes = search(strategy, spaces.Plain())
    assert len(notes.rows) == 1 + 2
    last = notes.rows[-1]
    assert [set(last[label]) for label in ("first", "second")] == [{0.0, 1.0}] * 2
    assert 0 < last["choice"][0] < 1
    ranked = strategy.top_k(10)
    assert len(ranked) == 2  # the other choice is the alphas'
    decided = {d["label"]: d["kept"][0] for d in strategy.oneshot_module.closing.state["decisions"]}
    for _, sample in ranked:
        kept = [str(sample[label]) for label in ("first", "second") if label in sample]
        assert kept == [decided[label] for label in ("first", "second") if label in sample]


def test_an_epoch_that_is_begun_again_decides_nothing_anew() -> None:
    supernet = strategy_with().mutate_model(cells())
    closing = PerturbationBased(epochs_between=2).closing(supernet, 0)
    asked: list[str] = []

    def validate(restrictions: Any, metric: str, batches: int | None = None) -> float:
        asked.append(metric)
        return 0.0

    for epoch, taken in ((0, 2), (0, 2), (1, 2), (2, 4), (2, 4)):
        closing.at(epoch, validate)
        assert len(closing.state["decisions"]) == taken
    assert set(asked) == {"accuracy"}


def test_what_is_decided_on() -> None:
    supernet = strategy_with().mutate_model(cells())
    kinds = kinds_of(supernet)
    assert list(kinds) == ["normal", "reduce"]
    assert kinds["normal"].operations["normal_3_1"] == {"skip_connect": 1, "max_pool_3x3": 2}
    assert kinds["normal"].nodes["normal_3"] == Node(tuple(f"normal_3_{s}" for s in range(3)), 2)
    assert kinds["normal"].open_nodes == ["normal_3"]


class Counting(Recipe):
    """Has running statistics, a dropout and a metric of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.dropout(self.norm(x)))


def test_a_validation_leaves_everything_as_it_was() -> None:
    recipe, seen = Counting(), []

    class Look(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            validate = SupernetValidation(pl_module, 0)
            before = {name: value.clone() for name, value in pl_module.state_dict().items()}
            state = torch.get_rng_state()
            label = "normal_2_0"
            found = [validate(r, "loss") for r in ({}, {label: Without(1)}, {label: Only(())}, {})]
            assert torch.equal(state, torch.get_rng_state())
            for name, value in pl_module.state_dict().items():
                assert torch.equal(value, before[name]), name
            for each in recipe.modules():
                each.training = isinstance(each, nn.BatchNorm2d)
            losses = [nn.functional.cross_entropy(recipe(x), y) for x, y in spaces.loader(seed=1)]
            recipe.train()
            assert -found[0] == pytest.approx(float(sum(losses)) / len(losses), rel=1e-5)
            assert recipe.training
            assert recipe.norm.training
            seen.append(found)

    strategy = UnrolledDARTS(hypergradient="first_order")
    search(strategy, recipe=recipe, callbacks=[Look()])
    (found,) = seen
    assert found[0] == found[3]
    assert len(set(found)) == 3


def test_a_validation_is_lightning_s() -> None:
    seen = []

    class Look(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            validate = SupernetValidation(pl_module, 0)
            scores = validate({}, "loss"), validate({}, "accuracy"), validate({}, "loss", 1)
            seen.append((scores, dict(trainer.callback_metrics)))

    uneven = spaces.loader(20, 8, seed=1)
    # Without norms, whose running statistics a validation of the trainer's takes.
    search(UnrolledDARTS(), spaces.Plain(), callbacks=[Look()], val=uneven)
    ((loss, accuracy, first), logged) = seen[0]
    assert -loss == pytest.approx(float(logged["val_loss"]), rel=1e-6)
    assert accuracy == pytest.approx(float(logged["val_acc"]), rel=1e-6)
    assert first != loss


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs_between": 0}, "epochs_between must be at least 1, got 0"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"epochs_betwen": 2}, "did you mean 'epochs_between'"),
        ({"fix_alpha": 1}, "fix_alpha must be True or False, got 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        strategy_with(**options)


def test_a_search_without_what_it_needs_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stepped(Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            raise AssertionError("it was trained")

    stop = {"callbacks": [Stepped()]}
    with pytest.raises(ValueError, match="no validation data") as error:
        search(strategy_with(), limit_val_batches=0, **stop)
    assert "\n" not in str(error.value)

    recipe = Recipe()
    monkeypatch.delattr(Recipe, "validation_step")
    monkeypatch.delattr(spaces.Recipe, "validation_step")
    with pytest.raises(ValueError, match="Recipe has no validation_step"):
        search(strategy_with(), recipe=recipe, **stop)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="the search has none; give the trainer max_epochs"):
        search(strategy_with(), epochs=-1, **stop)
    with pytest.raises(ValueError, match="Valued has none; take selection strongest"):
        search(strategy_with(), spaces.Valued(), **stop)


def test_a_metric_that_is_not_logged_is_told_after_the_first_validation() -> None:
    with pytest.raises(ValueError, match=r"logs no val_acc but val_loss; choose metric: loss"):
        search(strategy_with(metric="accuracy"), recipe=spaces.Recipe(), epochs=50)


def test_schedules_rest_where_the_search_ended() -> None:
    strategy = UnrolledDARTS(
        hypergradient="first_order",
        perturbation=RandomSmoothing((0.0, 1.0)),
        selection=PerturbationBased(epochs_between=1, metric="loss"),
    )
    seen = []

    class Look(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            seen.append(pl_module.moment)

    search(strategy, epochs=2, callbacks=[Look()])
    assert seen == [(0, 2), (1, 2), *[(1, 2)] * 6]


def test_one_operation_at_a_time_is_no_mixture(message: Any) -> None:
    supernet = UnrolledDARTS(relaxation="gumbel").mutate_model(spaces.Plain())
    assert message(ValueError, PerturbationBased().closing, supernet, 0) == (
        "a perturbation selection measures mixtures without one operation, and Gumbel runs one "
        "operation at a time; take another relaxation, or selection strongest or subnets"
    )
