"""Searches that end by themselves and hand on what an earlier epoch has found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from nni_darts._common.validation import SettingsError
from nni_darts.runs.go_back import GoBack
from nni_darts.runs.stages import search
from nni_darts.search.early_stop import EarlyStop
from nni_darts.search.eigenvalue import Eigenvalue
from nni_darts.tasks.registry import parse_run
from nni_darts.training import checkpoint

RULE = EarlyStop(window=1, lag=2, after=0)
STOP = {"window": 1, "lag": 2, "after": 0}

TOY: dict[str, Any] = {
    "stage": "search",
    "seed": 0,
    "space": {"name": "toy_parts.ToySpace"},
    "data": {"name": "vectors", "task": "toy_task.ToyTask", "size": 32},
    "search": {
        "seeds": [0],
        "epochs": 7,
        "batch_size": 16,
        "arc_learning_rate": 0.3,
        "top_k": 2,
        "eigenvalue": {"stop": STOP},
    },
}


class Told:
    """A trainer, and the epochs of a search that ends by these values."""

    def __init__(self, callback: GoBack, values: Sequence[float | None], start: int = 0) -> None:
        self.should_stop = False
        for epoch, value in enumerate(values, start):
            self.current_epoch = epoch
            self.callback_metrics = {} if value is None else {"eigenvalue": torch.tensor(value)}
            self.now = epoch
            callback._best = lambda: [(-float(self.now), f"epoch {self.now}")]
            callback.on_train_epoch_end(self, SimpleNamespace())  # type: ignore[arg-type]
            if self.should_stop:
                break


def fresh(rule: EarlyStop = RULE) -> GoBack:
    return GoBack(rule, list)


def test_it_ends_with_the_genotypes_of_the_earlier_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    callback = fresh()
    told = Told(callback, [0.1, 0.1, 0.1, 0.1, 0.5, 0.5])
    assert (told.should_stop, told.current_epoch) == (True, 4)
    assert callback.chosen == [(-2.0, "epoch 2")]
    assert capsys.readouterr().out == (
        "stopped after epoch 5: the mean largest eigenvalue of the Hessian of L_val is 0.5, from "
        "0.1 around epoch 3; it goes back to epoch 3\n"
    )


def test_without_growth_it_goes_on() -> None:
    callback = fresh()
    assert not Told(callback, [0.3, 0.2, 0.2, None, float("nan"), 0.2]).should_stop
    assert callback.turn is None
    with pytest.raises(LookupError, match="does not go back"):
        _ = callback.chosen
    # Of epochs that nothing can go back to nothing is kept.
    assert len(callback.state_dict()["kept"]) == RULE.needed


@pytest.mark.parametrize("after", range(1, 6))
def test_resumed_it_ends_where_it_would_have(after: int, tmp_path: Path) -> None:
    values = [0.1, None, 0.1, 0.1, 0.1, 0.5]
    whole, first, second = fresh(), fresh(), fresh()
    Told(whole, values)
    Told(first, values[:after])
    torch.save(first.state_dict(), tmp_path / "state")
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    Told(second, values[after:], after)
    assert second.turn == whole.turn is not None
    assert second.chosen == whole.chosen == [(-3.0, "epoch 3")]


def values_of(numbers: Sequence[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the epochs of a search have these eigenvalues."""
    left = iter(numbers)
    monkeypatch.setattr(Eigenvalue, "__call__", lambda self, step: next(left))


def genotypes(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "genotypes.json").read_text())


def test_a_search_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values_of([0.1, 0.1, 0.1, 0.1, 0.9], monkeypatch)
    result = search(parse_run(TOY), tmp_path / "stopped", lambda report: None)
    assert (result["stopped_after"], result["back_to"]) == (5, 3)
    history = pd.read_csv(tmp_path / "stopped" / "history.csv")
    assert list(history["eigenvalue"]) == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.9])
    assert result["default"] == result["val_acc"] == history["default"][2]
    assert result["val_loss"] == history["val_loss"][2]
    assert [each["epoch"] for each in genotypes(tmp_path / "stopped")] == [2, 2]
    # What a search of so many epochs would have handed on.
    values_of([0.1] * 3, monkeypatch)
    short = {**TOY, "search": {**TOY["search"], "epochs": 3}}
    expected = search(parse_run(short), tmp_path / "short", lambda report: None)
    assert "stopped_after" not in expected
    for name in ("score_1", "genotype_1", "score_2", "genotype_2", "entropy", "default"):
        assert result[name] == expected[name], name
    assert genotypes(tmp_path / "stopped") == genotypes(tmp_path / "short")


def test_a_search_that_ended_early_trains_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values_of([0.1, 0.1, 0.1, 0.9], monkeypatch)
    sent: list[Any] = []
    first = search(parse_run(TOY), tmp_path, sent.append)
    assert len(sent) == 4
    # Killed after its last checkpoint, before its result.
    again = search(parse_run(TOY), tmp_path, sent.append)
    assert len(sent) == 4
    for result in (first, again):
        del result["seconds"]
    assert again == first
    whole = checkpoint.content(tmp_path / "last.ckpt")
    assert whole["callbacks"]["GoBack"]["values"][-1] == [3, pytest.approx(0.9)]


def test_it_is_off_without_its_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values_of([0.1, 0.1, 0.1, 0.9], monkeypatch)
    settings = {**TOY["search"], "epochs": 4, "eigenvalue": {"batches": 1}}
    result = search(parse_run({**TOY, "search": settings}), tmp_path, lambda report: None)
    assert "stopped_after" not in result
    assert "GoBack" not in checkpoint.content(tmp_path / "last.ckpt")["callbacks"]


@pytest.mark.parametrize("selection", ["subnets", {"name": "perturbation", "fix_alpha": True}])
def test_a_selection_at_the_end_cannot_decide_on_an_earlier_epoch(selection: Any) -> None:
    settings = {**TOY["search"], "selection": selection}
    with pytest.raises(SettingsError) as caught:
        parse_run({**TOY, "search": settings})
    (problem,) = caught.value.problems
    assert "search.eigenvalue: stop goes back to genotypes of an earlier epoch" in problem
    # Measured it may be.
    parse_run({**TOY, "search": {**settings, "eigenvalue": {}}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"batches": 0}, "search.eigenvalue.batches"),
        ({"evry": 2}, "did you mean 'every'?"),
        ({"stop": {"ratio": 2}}, "search.eigenvalue.stop.ratio"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_run({**TOY, "search": {**TOY["search"], "eigenvalue": given}})
    (problem,) = caught.value.problems
    assert expected in problem
