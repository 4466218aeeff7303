from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.aggregation import CatMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassRecall

from nni_darts.search.side_effects import (
    HostCallError,
    copies,
    detached,
    recorded,
    replaced,
    uncounted,
    unlogged,
)

CLASSES = 3
METRICS: dict[str, Callable[[], Metric | MetricCollection]] = {
    "sums": lambda: MulticlassAccuracy(CLASSES, average="micro"),
    "lists": lambda: MulticlassAUROC(CLASSES),
    "collection": lambda: MetricCollection(
        {"macro": MulticlassAccuracy(CLASSES), "recall": MulticlassRecall(CLASSES)}
    ),
}


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(8, CLASSES, generator=generator).softmax(1),
        torch.randint(0, CLASSES, (8,), generator=generator),
    )


def states(metric: nn.Module) -> list[Any]:
    return [
        (m.metric_state, m._update_count, m._computed, m._forward_cache)
        for m in metric.modules()
        if isinstance(m, Metric)
    ]


class Logging(nn.Module):
    def __init__(self, metric: nn.Module) -> None:
        super().__init__()
        self.metric = metric
        self.logged: list[tuple[str, Any]] = []

    def log(self, name: str, value: Any, **options: Any) -> None:
        self.logged.append((name, value))


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("call", ["forward", "update"])
def test_a_metric_is_as_it_was(kind: str, call: str) -> None:
    metric = METRICS[kind]()
    metric.update(*batch(0))
    before = states(metric)
    kept = repr(before)
    with uncounted(metric.modules()):
        getattr(metric, call)(*batch(1))
        assert repr(states(metric)) != kept
    assert repr(states(metric)) == kept
    for (state, *_), (state_before, *_) in zip(states(metric), before, strict=True):
        assert all(state[name] is state_before[name] for name in state)


def test_unlogged_drops_logs_also_after_an_exception() -> None:
    module = Logging(METRICS["sums"]())

    def fail() -> None:
        with unlogged(module):
            module.log("loss", torch.ones(()))
            module.metric(*batch(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert module.logged == []
    assert module.metric._update_count == 0
    module.log("loss", 1)
    assert module.logged == [("loss", 1)]
    assert "log" not in vars(module)


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("call", ["forward", "update"])
def test_calls_are_made_again_with_what_the_tensors_hold_by_then(kind: str, call: str) -> None:
    module, expected = Logging(METRICS[kind]()), METRICS[kind]()
    for metric in (module.metric, expected):  # as the rehearsals have
        getattr(metric, call)(*batch(0))
    kept = repr(states(expected))
    static = tuple(map(torch.clone, batch(1)))
    with recorded(module, [(module, "log")]) as calls:
        value = getattr(module.metric, call)(*static)
        module.log("metric", module.metric, on_epoch=True)
        module.log("value", static[0].sum())
    assert repr(states(module.metric)) == kept
    assert module.logged == []
    if call == "forward":
        assert repr(value) == repr(METRICS[kind]()(*batch(1)))

    for seed in (2, 3):
        for memory, new in zip(static, batch(seed), strict=True):
            memory.copy_(new)
        for made in calls:
            made.again()
        getattr(expected, call)(*batch(seed))
        assert repr(module.metric.compute()) == repr(expected.compute())
    for memory in static:  # nobody must keep the memory of the replays
        memory.zero_()
    assert repr(module.metric.compute()) == repr(expected.compute())
    names = [name for name, _ in module.logged]
    assert names == ["metric", "value"] * 2
    assert module.logged[0][1] is module.metric


def test_values_are_logged_in_the_order_of_the_calls() -> None:
    module = Logging(CatMetric())
    with recorded(module, [(module, "log")]) as calls:
        module.log("before", torch.ones(()))
        module.metric.update(torch.ones(()))
        module.log("after", module.metric)
    assert [len(call.args) for call in calls] == [2, 1, 2]


def test_what_is_dropped_is_not_written_down() -> None:
    module = Logging(METRICS["sums"]())
    with recorded(module, [(module, "log")]) as calls, unlogged(module):
        module.metric(*batch(0))
        module.metric.update(*batch(0))
        module.log("value", torch.ones(()))
    assert calls == []
    assert module.metric._update_count == 0


def test_a_number_cannot_be_renewed(message: Callable[..., str]) -> None:
    module = Logging(nn.Identity())
    with recorded(module, [(module, "log")]):
        text = message(HostCallError, module.log, "rate", 0.1)
    assert text == "'rate' is logged as a float, which replays cannot renew; log a tensor"


def test_labels_are_not_validated_while_calls_are_written_down() -> None:
    module = Logging(METRICS["sums"]())
    with recorded(module, []):
        assert not module.metric.validate_args
    assert module.metric.validate_args


def test_replaced_puts_back_what_was_there() -> None:
    class Owner:
        inherited = 1

    owner = Owner()
    owner.own = 2  # type: ignore[attr-defined]
    with replaced(owner, "inherited", 3), replaced(owner, "own", 4):
        assert vars(owner) == {"inherited": 3, "own": 4}
    assert vars(owner) == {"own": 2}
    assert owner.inherited == 1


def test_trees() -> None:
    x = torch.ones(2, requires_grad=True)
    tree = {"a": [x * 2, "b"]}
    assert detached(tree)["a"][0].grad_fn is None
    copy = copies(detached(tree))
    assert copy["a"][1] == "b"
    assert copy["a"][0].data_ptr() != tree["a"][0].data_ptr()  # type: ignore[union-attr]
