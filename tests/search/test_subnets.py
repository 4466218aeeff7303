from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
import spaces
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn
from validated import Celled, Recipe, cells

from nni_darts import UnrolledDARTS
from nni_darts.search.subnets import Subnets, several
from nni_darts.search.validation import SupernetValidation
from nni_darts.supernet.architectures import by_label, drawn, probabilities
from nni_darts.supernet.mixture import mixture_of
from nni_darts.supernet.restriction import Only


def supernet_of(space: Any, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    supernet = UnrolledDARTS().mutate_model(space)
    for alpha in by_label(supernet).values():
        nn.init.normal_(alpha)
    return supernet


def searched(space: Any, **options: Any) -> UnrolledDARTS:
    torch.manual_seed(0)
    selection = {"name": "subnets", "metric": "loss", **options}
    strategy = UnrolledDARTS(
        hypergradient="first_order", arc_learning_rate=0.1, selection=selection
    )
    return spaces.search(space, strategy, module=Recipe())


def test_choices_are_drawn_by_their_probabilities() -> None:
    supernet = supernet_of(spaces.Plain())
    for alpha in by_label(supernet).values():
        alpha.data = torch.tensor([0.0, 1.5])
    chance = Random(0)
    found = Counter()
    for _ in range(3000):
        sample = drawn(supernet, chance).sample
        found[sample["choice"][0]] += 1
        found.update(("first", sample["first"]) for _ in [0] if "first" in sample)
    for label, key in (("choice", lambda c: c), ("first", lambda c: ("first", c))):
        p = {c: x.item() for c, x in probabilities(supernet)[label].items()}
        total = sum(found[key(c)] for c in p)
        for c, x in p.items():
            deviation = math.sqrt(x * (1 - x) / total)
            assert abs(found[key(c)] / total - x) < 4 * deviation, (label, c)


def test_edges_are_drawn_by_the_probability_that_they_are_something() -> None:
    supernet = supernet_of(cells())
    chance, first, count = Random(0), Counter(), 1500
    p = probabilities(supernet)
    something = [1 - p[f"normal_3_{s}"]["none"].item() for s in range(3)]
    for _ in range(count):
        each = drawn(supernet, chance)
        kept = set(each.sample["normal_3"])
        assert len(kept) == 2
        for s in range(3):
            label = f"normal_3_{s}"
            if s in kept:
                (operation,) = each.restrictions[label].options
                assert list(p[label])[operation] == each.sample[label] != "none"
            else:
                assert each.restrictions[label] == Only(())
        first[({0, 1, 2} - kept).pop()] += 1
    for left in range(3):
        a, b = (something[s] for s in range(3) if s != left)
        total = sum(something)
        x = a / total * b / (total - a) + b / total * a / (total - b)
        assert abs(first[left] / count - x) < 4 * math.sqrt(x * (1 - x) / count)


EVERY = {**spaces.SPACES, "nodes": Celled}


@pytest.mark.parametrize("name", list(EVERY))
def test_restricted_the_supernet_computes_what_the_architecture_does(name: str) -> None:
    supernet = supernet_of(EVERY[name]()).eval()
    x = torch.randn(2, 3, 6, 6)
    for each in several(supernet, 4, Random(0)):
        pairs = [(by_label(supernet)[label], r) for label, r in each.restrictions.items()]
        sample = {**{m: c.default() for m, c in supernet.simplify().items()}, **each.sample}
        alone = supernet.freeze(sample).eval()
        with torch.no_grad(), mixture_of(supernet).restricted(pairs):
            together = supernet(x)
        with torch.no_grad():
            torch.testing.assert_close(together, alone(x), rtol=1e-4, atol=1e-5)


def test_those_that_validate_best_are_handed_on() -> None:
    strategy = searched(Celled(), count=5)
    ranked = strategy.top_k(10)
    assert len(ranked) == 5
    scores = [score for score, _ in ranked]
    assert scores == sorted(scores, reverse=True)
    assert len({str(sample) for _, sample in ranked}) == 5
    assert strategy.top_k(2) == ranked[:2]
    assert next(strategy.list_models()).sample == ranked[0][1]
    # Each by itself, with the weights of the supernet.
    supernet, loader = strategy.supernet, spaces.loader(seed=1)
    for score, sample in ranked:
        alone = supernet.freeze(sample)
        with torch.no_grad():
            losses = [nn.functional.cross_entropy(alone(x), y) for x, y in loader]
        assert -score == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)


def test_draws_hang_on_the_seed_and_differ() -> None:
    supernet = supernet_of(cells())
    found = [[d.sample for d in several(supernet, 6, Random(seed))] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_a_small_space_gives_all_it_has() -> None:
    supernet = supernet_of(spaces.Plain())
    assert len(several(supernet, 100, Random(0))) == 8
    for alpha in by_label(supernet).values():
        alpha.data = torch.tensor([0.0, 1e4])
    assert len(several(supernet, 100, Random(0))) == 1  # nothing is left to chance


def test_they_are_compared_on_as_many_batches_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    plain = SupernetValidation.__call__

    def call(self: Any, restrictions: Any, metric: str, batches: int | None = None) -> float:
        asked.append((metric, batches))
        return plain(self, restrictions, metric, batches)

    monkeypatch.setattr(SupernetValidation, "__call__", call)
    one = searched(spaces.Plain(), count=2, batches=1, metric="accuracy").top_k(2)
    assert asked == [("accuracy", 1)] * 2
    assert all(0 <= score <= 1 for score, _ in one)
    assert searched(spaces.Plain(), count=2).top_k(2) != searched(
        spaces.Plain(), count=2, batches=1
    ).top_k(2)


def test_a_search_that_was_over_ranks_again_as_it_did(tmp_path: Path) -> None:
    class Keep(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / "last.ckpt")

    found = []
    for fit in ({}, {"ckpt_path": str(tmp_path / "last.ckpt"), "weights_only": True}):
        torch.manual_seed(0)
        strategy = UnrolledDARTS(
            hypergradient="first_order", selection=Subnets(count=3, metric="loss")
        )
        evaluator = spaces.evaluator(Recipe(), callbacks=[Keep()])
        evaluator.fit_kwargs.update(fit)
        spaces.start(cells(), strategy, evaluator)
        strategy.run()
        found.append(strategy.top_k(3))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"batches": 0}, "batches must be at least 1, got 0"),
        ({"metric": 3}, "metric"),
        ({"counts": 3}, "did you mean 'count'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        UnrolledDARTS(selection={"name": "subnets", **options})
