"""Spaces and data of the user's own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import spaces
from choice_spaces import CellsAndChoices
from own_runs import RUN, relaxed
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from nni_darts._common.validation import SettingsError, UnavailableError
from nni_darts.genotypes.nas_bench_201 import LABELS, Cell201
from nni_darts.history.flat import from_flat
from nni_darts.runs import build
from nni_darts.runs.stages import search
from nni_darts.search.bilevel_step import BilevelStep
from nni_darts.search.hypergradient import FirstOrder
from nni_darts.supernet.relaxation import Softmax
from nni_darts.tasks.registry import IMAGES, parse_run
from search_spaces import DartsCNN


class MyData(pl.LightningDataModule):
    num_classes = spaces.CLASSES

    def __init__(self, batch_size: int = 4, size: int = 16) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.size = size

    def train_dataloader(self) -> DataLoader:
        return spaces.loader(self.size, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return spaces.loader(self.size, self.batch_size, seed=1)


class NoClasses(MyData):
    num_classes = property()


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(sys.modules, "test_build", sys.modules[__name__])


class MyHypergradient(FirstOrder):
    """A class of the user's."""

    def __init__(self, scale: float) -> None:
        object.__setattr__(self, "scale", scale)

    def __call__(self, step: BilevelStep) -> tuple[Tensor, ...]:
        return tuple(self.scale * g for g in super().__call__(step))


def test_hypergradients_with_options(tmp_path: Path) -> None:
    found = {}
    for name, given in {
        "first": "first_order",
        "mine": {"name": "test_build.MyHypergradient", "scale": -1.0},
        "short": {"name": "neumann", "terms": 0},
        "long": {"name": "neumann", "terms": 9},
    }.items():
        run = parse_run({**RUN, "search": {**RUN["search"], "hypergradient": given}})
        result = search(run, tmp_path / name, lambda _: None)
        found[name] = result["score_1"], result["genotype_1"]
    assert len(set(found.values())) == 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "neumann", "term": 5}, "unknown option of hypergradient neumann, 'term'; did"),
        ({"name": "neumann", "terms": "5"}, "hypergradient neumann: terms must be a whole number"),
        ("test_build.MyData", "hypergradient: test_build.MyData must be a subclass of Hyper"),
        ("test_build.MyHypergradient", "MyHypergradient: .* missing .* 'scale'"),
    ],
)
def test_a_hypergradient_that_cannot_be_made(given: Any, expected: str) -> None:
    run = parse_run({**RUN, "search": {**RUN["search"], "hypergradient": given}})
    with pytest.raises(SettingsError, match=f"^search.hypergradient: .*{expected}") as caught:
        build.parts(run)
    assert len(caught.value.problems) == 1


@dataclass(frozen=True)
class Uniform(Softmax):
    """A relaxation of the user's."""

    share: float = 1.0

    def weights(self, alpha: Tensor) -> Tensor:
        return self.share * alpha.softmax(-1)


def test_relaxations_with_options(tmp_path: Path) -> None:
    found = {}
    for share in (1.0, 0.5):
        run = relaxed({"name": "test_build.Uniform", "share": share})
        result = search(run, tmp_path / str(share), lambda _: None)
        found[share] = result["score_1"], result["train_loss"]
    assert found[1.0] != found[0.5]
    plain = search(parse_run(RUN), tmp_path / "plain", lambda _: None)
    assert found[1.0] == (plain["score_1"], plain["train_loss"])


def test_all_parts_that_cannot_be_made_at_once() -> None:
    wrong = {"relaxation": {"name": "softmax", "t": 1}, "hypergradient": "test_build.MyData"}
    with pytest.raises(SettingsError) as caught:
        build.parts(parse_run({**RUN, "search": {**RUN["search"], **wrong}}))
    first, second = caught.value.problems
    assert first.startswith("search.hypergradient: hypergradient: test_build.MyData must be")
    assert second == "search.relaxation: unknown option of relaxation softmax, 't' (known: none)"


def test_a_search_over_a_space_and_data_of_the_users(tmp_path: Path) -> None:
    reports: list[dict[str, float]] = []
    result = search(parse_run(RUN), tmp_path, reports.append)
    assert result["genotype_1"].startswith('{"first": ')
    assert "choice 0" in reports[0]


def test_a_search_of_nas_bench_201(tmp_path: Path) -> None:
    run = {
        "stage": "search",
        "seed": 0,
        "space": {"name": "NasBench201", "channels": 4, "cells_per_stage": 1},
        "data": {"name": "digits"},
        "search": {"seeds": [0], "epochs": 1, "batch_size": 256, "top_k": 2},
    }
    reports: list[dict[str, Any]] = []
    result = search(parse_run(run), tmp_path, reports.append)
    found = [Cell201.from_sample(json.loads(result[f"genotype_{i}"])) for i in (1, 2)]
    assert found[0] != found[1]
    assert list(from_flat(reports[0]).choices) == list(LABELS.values())


def test_the_size_of_nas_bench_201_is_bounded() -> None:
    space = {"name": "NasBench201", "cells_per_stage": 100_000}
    with pytest.raises(SettingsError) as caught:
        build.parts(parse_run({**RUN, "space": space, "data": {"name": "digits"}}), load=False)
    assert str(caught.value) == "space.cells_per_stage: must be at most 1000, got 100000"


def test_what_the_data_takes_it_gets() -> None:
    module, _ = build.parts(parse_run(RUN))
    assert module.batch_size == 8
    given = {"data": {"name": "test_build.MyData", "batch_size": 2, "size": 8}}
    module, _ = build.parts(parse_run({**RUN, **given}))
    assert (module.batch_size, module.size) == (2, 8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": {"name": "test_build.MyDate"}}, "did you mean 'MyData'?"),
        ({"data": {"name": "test_build.Nothing"}}, "(known: MyData, NoClasses)"),
        (
            {"space": {"name": "test_build.MyDate"}},
            "class in test_build 'MyDate' (known: none)",
        ),
        (
            {"space": {"name": "search_spaces.DartsCMM"}},
            "'DartsCNN'? (known: DartsCNN, DartsNetwork, DartsR",
        ),
        ({"data": {"name": "spaces.Plain"}}, "must be a subclass of LightningDataModule"),
        ({"data": {"name": "test_build.MyData", "sizes": 3}}, "did you mean 'size'?"),
        ({"data": {"name": "test_build.NoClasses"}}, "must have an attribute num_classes"),
        ({"space": {"name": "spaces.Plain", "depth": 3}}, "space.depth: unknown key 'depth'"),
        ({"search": {**RUN["search"], "recompute": True}}, "search.recompute: there are no cells"),
    ],
)
def test_mistakes(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build.parts(parse_run({**RUN, **changes}))
    assert expected in str(caught.value)


def test_what_is_wrong_with_files_can_be_mended(tmp_path: Path) -> None:
    # Not a mistake in the settings, which would use up the attempts at a run.
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("L", (8, 8)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "dog" / "1.png").write_bytes(b"no image")
    data = {"name": "image_folder", "root": str(tmp_path)}
    run = parse_run({**RUN, "space": {"name": "DartsCNN"}, "data": data})
    with pytest.raises(UnavailableError, match=r"data: cannot read the image .*dog/1.png"):
        build.parts(run)
    (tmp_path / "dog" / "1.png").unlink()
    with pytest.raises(UnavailableError, match=r"data: the class .*dog must have at least 2"):
        build.parts(run)


def test_hints_name_only_what_a_module_defines_itself() -> None:
    assert isinstance(spaces.ModelSpace, type)  # which it imports, and which is no space to search
    with pytest.raises(SettingsError) as caught:
        build.parts(parse_run({**RUN, "space": {"name": "spaces.Plan"}}))
    own = "Classifying, Doubled, Nested, NniCell, Plain, Repeated, Valued"
    assert str(caught.value).endswith(f"did you mean 'Plain'? (known: {own})")


def test_cells_with_another_choice_are_not_trained_as_cells_alone() -> None:
    space: Any = DartsCNN(channels=4, num_cells=3, num_nodes=2)
    build.require_trained(None, space, IMAGES)
    with pytest.raises(SettingsError, match="leave out select and evaluate"):
        build.require_trained(None, CellsAndChoices(), IMAGES)


def test_all_seeds_share_the_split() -> None:
    halves = []
    for seed in (0, 1):
        run = parse_run({**RUN, "seed": seed, "data": {"name": "digits"}})
        run = run.model_copy(update={"space": run.space.model_copy(update={"name": "DartsCNN"})})
        module, _ = build.parts(run)
        halves.append(module.val_dataloader().dataset.items)
    assert halves[0].equal(halves[1])
