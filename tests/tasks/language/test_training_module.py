from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.random_cells import draw, draw_recurrent
from nni_darts.runs.train import Job, train
from nni_darts.tasks.components import Component
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.tasks.language.data import TextTrainingData
from nni_darts.tasks.language.losses import cross_entropy, read
from nni_darts.tasks.language.settings import TextTraining
from nni_darts.tasks.language.training_module import STATE, Averages, stalled
from nni_darts.training.checkpoint import load
from nni_darts.training.checkpoint import read as read_checkpoint
from nni_darts.training.run_folder import BEST, LAST

GENOTYPE = draw_recurrent(1, 0, num_nodes=2)[0]
SMALL: dict[str, Any] = {
    "embedding": 12,
    "hidden": 12,
    "batch_size": 10,
    "bptt": 10,
    "epochs": 5,
    "learning_rate": 10.0,
    **{f"dropout_{which}": 0.05 for which in ("out", "h", "x", "i", "e")},
    "nonmonotone": 1,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text in which a word tells the next, most of the time."""
    folder = tmp_path_factory.mktemp("text")
    random = torch.Generator().manual_seed(0)
    for part, count in (("train", 3000), ("valid", 500), ("test", 500)):
        steps = (torch.rand(count, generator=random) < 0.3).long() + 1
        words = [f"w{n}" for n in (steps.cumsum(0) % 7).tolist()]
        lines = [" ".join(words[i : i + 50]) for i in range(0, count, 50)]
        (folder / f"{part}.txt").write_text("\n".join(lines) + "\n")
    return folder


def job(root: Path, output: Path, seed: int = 0, **changes: Any) -> Job:
    settings = TextTraining(**{**SMALL, **changes})
    data = Component(name="text", root=str(root))
    return Job(GENOTYPE, settings, data, seed, output, "test")


def quiet(report: dict[str, Any]) -> None:
    pass


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A training that changes to averaged weights on its way."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        # The same moment whatever the losses.
        patch.setattr(
            "nni_darts.tasks.language.training_module.stalled",
            lambda before, loss, n: len(before) == 2,
        )
        return folder, train(job(root, folder), quiet, tested=True)


# The trigger, the mean


def test_the_trigger_is_the_references() -> None:
    falling = [5.0, 4.0, 3.0, 2.0]
    assert not any(stalled(falling[:n], falling[n], 1) for n in range(4))
    # Above the minimum of those more than 2 epochs ago, not of the last 2.
    assert not stalled([5.0, 3.0, 2.0], 4.0, 2)
    assert stalled([3.0, 5.0, 2.0], 4.0, 2)
    assert not stalled([3.0, 3.0], 4.0, 2)


def test_the_mean_is_of_all_values_since_the_first() -> None:
    weight, values = torch.zeros(3), [torch.randn(3) for _ in range(7)]
    averages = Averages()
    for value in values:
        weight.copy_(value)
        averages.update([weight])
    torch.testing.assert_close(averages.values[0], torch.stack(values).mean(0))
    averages.exchange([weight])
    torch.testing.assert_close(weight, torch.stack(values).mean(0))
    averages.exchange([weight])
    assert torch.equal(weight, values[-1])


def test_the_mean_of_torchs_asgd_leaves_out_the_first_step() -> None:
    # What the docstring of the recipe says of the reference.
    parameter = nn.Parameter(torch.zeros(()))
    asgd = torch.optim.ASGD([parameter], lr=1.0, lambd=0.0, t0=0)
    seen = []
    for gradient in (1.0, 2.0, 4.0):
        parameter.grad = torch.tensor(gradient)
        asgd.step()
        seen.append(float(parameter))
    assert float(asgd.state[parameter]["ax"]) == pytest.approx(sum(seen[1:]) / 2)


# A training


def test_what_comes_out(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, result = whole
    history = pd.read_csv(folder / "history.csv")
    best = history.loc[history["default"].idxmin()]
    assert result["default"] == result["val_ppl"] == best["default"]
    assert result["val_ppl"] == pytest.approx(math.exp(result["val_loss"]), rel=1e-5)
    assert result["best_epoch"] == best["epoch"]
    assert result["weights"] == str(folder / BEST)
    assert list(history["averaged"]) == [0, 0, 0, 1, 1]
    assert set(history["learning_rate"]) == {10.0}
    # A word is one of 7 by chance, one of about 2 for who knows the one before.
    assert history["default"].iloc[-1] < history["default"].iloc[0] < 8
    assert result["test_ppl"] < 3.5


def test_the_best_weights_give_the_perplexities_that_are_reported(
    root: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    folder, result = whole
    data = TextTrainingData("text", root=root, batch_size=10, bptt=10)
    data.setup("fit")
    network = load(folder / BEST)
    losses, count = 0.0, 0
    with torch.no_grad():
        for batch in data.val_dataloader():
            losses += float(cross_entropy(read(network, batch), batch)) * batch.targets.numel()
            count += batch.targets.numel()
    assert math.exp(losses / count) == pytest.approx(result["val_ppl"], rel=1e-5)


def test_the_test_perplexity_is_of_the_mean_over_all_words(
    root: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    folder, result = whole
    # Without any of the project's data: words by the vocabulary, a mark after each line.
    lines = (root / "test.txt").read_text().splitlines()
    numbers = {w: n for n, w in enumerate(read_checkpoint(folder / BEST).input["words"])}
    text = torch.tensor([numbers[w] for line in lines for w in [*line.split(), "<eos>"]])
    assert (len(text) - 1) % 10  # the last batch is shorter than the others
    network = load(folder / BEST)
    with torch.no_grad():
        state = torch.zeros(1, SMALL["hidden"])
        logits = network(text[:-1, None], state).logits[:, 0].double()
    chosen = logits.log_softmax(1)[torch.arange(len(text) - 1), text[1:]]
    assert result["test_loss"] == pytest.approx(-float(chosen.mean()), rel=1e-5)
    assert result["test_ppl"] == pytest.approx(math.exp(-float(chosen.mean())), rel=1e-5)


def test_the_best_weights_are_the_mean_and_the_last_are_not(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = whole
    best, last = (torch.load(folder / name, weights_only=True) for name in (BEST, LAST))
    assert result["best_epoch"] == 4  # so that both are of the same epoch
    means = last[STATE]["averages"]["values"]
    names = [f"network.{name}" for name, _ in load(folder / BEST).named_parameters()]
    for name, mean in zip(names, means, strict=True):
        assert torch.equal(best["state_dict"][name], mean)
        assert not torch.equal(last["state_dict"][name], mean)
    assert STATE not in best


class Stop(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_training_stopped_between_epochs_goes_on_bit_for_bit(
    root: Path,
    whole: tuple[Path, dict[str, Any]],
    epoch: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(report: dict[str, Any]) -> None:
        if report["epoch"] == epoch + 1:
            raise Stop

    monkeypatch.setattr(
        "nni_darts.tasks.language.training_module.stalled", lambda before, loss, n: len(before) == 2
    )
    with pytest.raises(Stop):
        train(job(root, tmp_path), stop)
    torch.rand(3)
    result = train(job(root, tmp_path), quiet, tested=True)
    for name, value in whole[1].items():
        if name not in ("seconds", "weights"):
            assert result[name] == value, name
    for name in (BEST, LAST):
        one, other = (torch.load(f / name, weights_only=True) for f in (tmp_path, whole[0]))
        for key, value in other["state_dict"].items():
            assert torch.equal(one["state_dict"][key], value), key
    tables = [pd.read_csv(f / "history.csv").drop(columns="seconds") for f in (tmp_path, whole[0])]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_seeds_differ(root: Path, whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    result = train(job(root, tmp_path, seed=1, epochs=1), quiet)
    history = pd.read_csv(whole[0] / "history.csv")
    assert result["default"] != history["default"][0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"embedding": 5}, "embedding must equal hidden"),
        ({"batch_size": 400}, "must have more than 4000 words"),
    ],
)
def test_mistakes_are_found_before_training(
    root: Path, changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        train(job(root, tmp_path / "out", **changes), quiet)
    (problem,) = caught.value.problems
    assert expected in problem
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", [True, False])
def test_a_genotype_of_the_other_kind(
    root: Path, text: bool, tmp_path: Path, message: Callable[..., str]
) -> None:
    if text:
        wrong = Job(
            draw(1, 0)[0], TextTraining(), Component(name="alice"), 0, tmp_path / "o", "test"
        )
    else:
        wrong = Job(GENOTYPE, ImageTraining(), Component(name="digits"), 0, tmp_path / "o", "test")
    assert "is needed for" in message(SettingsError, train, wrong, quiet)
