from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.genotype import Genotype
from nni_darts.runs.stages import search
from nni_darts.tasks.language import losses
from nni_darts.tasks.language.search_module import TextSearchRecipe
from nni_darts.tasks.language.streams import Words
from nni_darts.tasks.registry import parse_run

TINY: dict[str, Any] = {
    "stage": "search",
    "seed": 0,
    "space": {"name": "DartsRNN", "embedding": 6, "hidden": 6, "num_nodes": 2},
    "data": {"name": "text", "root": "."},
    "search": {
        "seeds": [0],
        "epochs": 2,
        "batch_size": 20,
        "bptt": 5,
        "arc_learning_rate": 0.1,
        "top_k": 2,
    },
}


@pytest.fixture(scope="module", autouse=True)
def _text(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The text of the tests, in the current directory."""
    folder = tmp_path_factory.mktemp("text")
    for part, count in (("train", 1000), ("valid", 250), ("test", 50)):
        words = [
            "the",
            "cat",
            "sat",
            "on",
            "the",
            "mat",
            "and",
            "the",
            "dog",
            "sat",
            "on",
            "the",
            "cat",
        ]
        (folder / f"{part}.txt").write_text(" ".join(words[i % 13] for i in range(count)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def quiet(report: dict[str, Any]) -> None:
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[Any]]:
    """A search without any trouble, and its reports."""
    folder, reports = tmp_path_factory.mktemp("whole"), []
    return folder, search(parse_run(TINY), folder, reports.append), reports


def test_what_comes_out(whole: tuple[Path, dict[str, Any], list[Any]]) -> None:
    _, result, reports = whole
    assert all(isinstance(value, str | int | float) for value in result.values())
    cell = Genotype.parse(result["genotype_1"]).recurrent
    assert [len(node) for node in cell.nodes] == [1, 1]
    assert cell.concat == (1, 2)
    assert result["default"] == result["val_ppl"] == reports[-1]["default"]
    assert "val_acc" not in result
    assert {"train_ppl", "train_loss", "val_loss", "c1<0 tanh", "c2<1 none"} <= set(reports[0])
    # 1 + 2 edges, 5 operations.
    assert sum("<" in key for key in reports[0]) == 15


class Stop(Exception):
    pass


def test_a_search_stopped_between_epochs_goes_on_bit_for_bit(
    whole: tuple[Path, dict[str, Any], list[Any]], tmp_path: Path
) -> None:
    def stop(report: dict[str, Any]) -> None:
        if report["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        search(parse_run(TINY), tmp_path, stop)
    torch.rand(5)
    result = search(parse_run(TINY), tmp_path, quiet)
    for name, value in whole[1].items():
        if name not in ("seconds", "output"):
            assert result[name] == value, name
    tables = [pd.read_csv(f / "history.csv").drop(columns="seconds") for f in (tmp_path, whole[0])]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


class Passes:
    """What the recipe read in a search: (kind of stream, its position, state before, rate)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[int, float | None, float, float]] = []
        self.lengths: list[int] = []
        step = TextSearchRecipe.training_step

        def recorded(recipe: Any, batch: Words, index: int) -> Any:
            before = batch.before.state
            loss = step(recipe, batch, index)
            state = None if before is None else float(before.double().sum())
            assert batch.after.state is not None
            after = float(batch.after.state.double().sum())
            rate = recipe._sgd.param_groups[0]["lr"]
            self.seen.append((id(batch.after), state, after, rate))
            self.lengths.append(len(batch.tokens))
            return loss

        monkeypatch.setattr(TextSearchRecipe, "training_step", recorded)

    def steps(self) -> Iterator[list[tuple[int, float | None, float, float]]]:
        """Five passes each: virtual, validation, w+, w-, and the real one."""
        for i in range(0, len(self.seen), 5):
            yield self.seen[i : i + 5]


def test_the_architects_passes_do_not_disturb_the_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(monkeypatch)
    one = {**TINY, "search": {**TINY["search"], "epochs": 1}}
    search(parse_run(one), tmp_path, quiet)
    steps = list(passes.steps())
    assert len(steps) > 5
    previous = None
    for virtual, alpha, positive, negative, real in steps:
        # All passes over the training batch are over the same batch, from the same state:
        assert virtual[0] == positive[0] == negative[0] == real[0] != alpha[0]
        assert virtual[1] == positive[1] == negative[1] == real[1]
        if previous is not None:
            # that of the real pass over the batch before; the other stream goes on by itself.
            assert real[1] == previous[4][2]
            assert alpha[1] in (previous[1][2], None)
        previous = (virtual, alpha, positive, negative, real)
    # The text for alpha has fewer batches: it begins again.
    assert [step[1][1] for step in steps].count(None) > 1
    assert [step[4][1] for step in steps].count(None) == 1


def test_the_architect_unrolls_with_the_rate_of_the_coming_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(monkeypatch)
    one = {**TINY, "search": {**TINY["search"], "epochs": 1}}
    search(parse_run(one), tmp_path, quiet)
    lengths = passes.lengths[4::5]
    assert len(set(lengths)) > 1
    for step, length in zip(passes.steps(), lengths, strict=True):
        assert [rate for _, _, _, rate in step] == [pytest.approx(20 * length / 5)] * 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"space": {"name": "DartsCNN"}}, "space: DartsCNN is for images, and the data is text"),
        (
            {"data": {"name": "digits"}, "search": {}},
            "space: DartsRNN is for text, and the data is images",
        ),
        ({"space": {"name": "DartsRNN", "hiden": 4}}, "did you mean 'hidden'?"),
        ({"space": {"name": "DartsRNN", "hidden": 4}}, "space: embedding must equal hidden"),
        ({"data": {"name": "ptb"}}, "data: ptb needs root"),
        ({"data": {"name": "ptb", "root": "/no/such"}}, "ptb has no ptb.train.txt"),
        ({"data": {"name": "text", "root": ".", "image_size": 8}}, "data.image_size: unknown key"),
        ({"search": {"batch_size": 500}}, "train.txt must have more than 17500 words"),
    ],
)
def test_mistakes_are_found_before_training(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    values = {**TINY, **changes}
    with pytest.raises(SettingsError) as caught:
        search(parse_run(values), tmp_path, quiet)
    (problem,) = caught.value.problems
    assert expected in problem
    assert not list(tmp_path.iterdir())


def test_a_seed_repeats_and_seeds_differ(
    whole: tuple[Path, dict[str, Any], list[Any]], tmp_path: Path
) -> None:
    one = {**json.loads(whole[1]["run"]), "search": {**TINY["search"], "epochs": 1}}
    same = search(parse_run(one), tmp_path / "same", quiet)
    other = search(parse_run({**one, "seed": 1}), tmp_path / "other", quiet)
    assert same["default"] == whole[2][0]["default"] != other["default"]


def test_a_cell_is_decided_by_what_the_supernet_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []
    scale = losses.scale

    def noted(sgd: Any, settings: Any, words: Words) -> None:
        scale(sgd, settings, words)
        rates.append(sgd.param_groups[0]["lr"] * settings.bptt / len(words.tokens))

    monkeypatch.setattr(losses, "scale", noted)
    selection = {"name": "perturbation", "epochs_between": 1, "metric": "loss"}
    own = {"epochs": 1, "hypergradient": "first_order", "learning_rate": 2.0}
    run = {**TINY, "search": {**TINY["search"], **own, "selection": selection}}
    result = search(parse_run(run), tmp_path, lambda report: None)
    # 3 edges, and a node that keeps one of two.
    taken = json.loads((tmp_path / "selection.json").read_text())["decisions"]
    assert len(taken) == 4
    kept = {decision["label"]: decision["kept"] for decision in taken}
    (chosen,) = kept["recurrent_2"]
    cell = Genotype.parse(result["genotype_1"]).cells[0]
    assert [cell.nodes[0][0].operation] == kept["recurrent_1_0"]
    assert [cell.nodes[1][0].operation] == kept[chosen]
    assert rates[0] == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.2)
    own["selection"] = "perturbation"
    run = {**TINY, "search": {**TINY["search"], **own}}
    with pytest.raises(ValueError, match="logs no val_acc but val_loss, val_ppl; choose metric"):
        search(parse_run(run), tmp_path / "accuracy", lambda report: None)
