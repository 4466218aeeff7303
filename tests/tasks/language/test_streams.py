from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch

from nni_darts.tasks.language.streams import (
    Carried,
    Lengths,
    StreamLoader,
    equal_lengths,
    halved_lengths,
    seeded,
    streams,
    varied_lengths,
)


def test_streams_are_parts_of_the_text_side_by_side() -> None:
    assert streams(torch.arange(11), 3).tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_batches_follow_each_other_and_targets_are_the_words_after() -> None:
    batches = list(StreamLoader(streams(torch.arange(20), 2), equal_lengths(4)))
    assert [b.tokens[:, 0].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    for batch in batches:
        assert torch.equal(batch.targets, batch.tokens + 1)
    assert batches[-1].targets[-1].tolist() == [9, 19]


def test_a_batch_begins_with_what_the_one_before_has_left() -> None:
    loader = StreamLoader(torch.zeros(10, 1, dtype=torch.int64), equal_lengths(3))
    first, second, third = loader
    assert first.before.state is None
    assert second.before is first.after
    assert third.before is second.after
    again = next(iter(loader))
    assert isinstance(again.before, Carried)
    assert again.before.state is None


@pytest.mark.parametrize("kind", [halved_lengths, varied_lengths])
@pytest.mark.parametrize(("total", "bptt"), [(3630, 35), (1683, 35), (100, 7), (36, 35), (3, 35)])
def test_random_lengths_cover_the_streams_in_the_same_number(
    kind: object, total: int, bptt: int
) -> None:
    cuts = [kind(bptt)(total) for _ in range(20)]  # type: ignore[operator]
    assert all(sum(cut) == total for cut in cuts)
    assert len({len(cut) for cut in cuts}) == 1
    assert all(min(cut) >= 1 for cut in cuts)


# Cutting once went on for ever, for bptt 1.
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [equal_lengths, halved_lengths, varied_lengths])
@pytest.mark.parametrize("bptt", range(1, 13))
def test_lengths_cover_all_of_any_text(kind: Callable[[int], Lengths], bptt: int) -> None:
    for total in range(0, 120):
        cut = kind(bptt)(total)
        assert sum(cut) == total
        assert min(cut, default=1) >= 1
        assert len(cut) == len(kind(bptt)(total))
        assert (len(cut) > 0) == (total > 0)


@pytest.mark.parametrize("kind", [halved_lengths, varied_lengths])
@pytest.mark.parametrize("bptt", range(1, 13))
def test_the_number_of_batches_is_the_nearest_to_their_mean_length(
    kind: Callable[[int], Lengths], bptt: int
) -> None:
    mean = Fraction(95, 100) * bptt + Fraction(5, 100) * Fraction(bptt, 2)
    for total in range(1, 120):
        count = len(kind(bptt)(total))
        # A batch has a word at least, and there is a batch at least.
        nearest = min(range(1, total + 1), key=lambda n: abs(n - total / mean))
        ties = {n for n in (nearest, nearest + 1) if abs(n - total / mean) == Fraction(1, 2)}
        assert count in {nearest, *ties}


@pytest.mark.parametrize(
    ("bptt", "draws", "total", "expected"),
    [
        # Of 5 to bptt + 20 words, the sum that is wanted: 5 + 55 + 38.
        (35, [-10, 10, 0.6], 98, [5, 55, 38]),
        # Not of 5 words where bptt is less: 4 and 6, which are 11 too many; a word each from all,
        # and one from the first.
        (4, [-2, 0.4] * 5, 39, [2, 5, 3, 5, 3, 5, 3, 5, 3, 5]),
    ],
)
def test_the_lengths_of_a_training_by_hand(
    bptt: int,
    draws: list[float],
    total: int,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "rand", lambda count: torch.zeros(count))
    monkeypatch.setattr(torch, "randn", lambda count: torch.tensor(draws)[:count])
    monkeypatch.setattr(torch, "randperm", torch.arange)
    assert varied_lengths(bptt)(total) == expected


def test_the_lengths_of_the_search_are_whole_or_half() -> None:
    cut = [n for _ in range(50) for n in halved_lengths(35)(3630)]
    near = {n for half in (17, 35) for n in range(half - 4, half + 5)}
    assert set(cut) <= near
    assert sum(n < 25 for n in cut) / len(cut) == pytest.approx(0.05, abs=0.02)
    assert sum(cut) / len(cut) == pytest.approx(0.975 * 35, rel=0.01)


def test_the_lengths_of_a_training_vary_as_the_references_do() -> None:
    cut = torch.tensor([n for _ in range(20) for n in varied_lengths(35)(58098)]).float()
    long = cut[cut > 26]
    assert float(long.mean()) == pytest.approx(35, abs=0.7)
    assert float(long.std()) == pytest.approx(5, abs=0.5)
    assert cut.max() <= 35 + 20 + 1


def test_the_count_is_known_and_asking_draws_nothing() -> None:
    data = torch.zeros(2000, 2, dtype=torch.int64)
    torch.manual_seed(3)
    loader = StreamLoader(data, varied_lengths(35))
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)
    assert len(loader) == len(list(loader))


def test_an_epoch_hangs_on_its_seed_and_number_alone() -> None:
    data = torch.zeros(2000, 2, dtype=torch.int64)
    epoch = 0

    def lengths(seed: int) -> list[int]:
        torch.rand(7)
        loader = StreamLoader(data, varied_lengths(35), seeded(seed, lambda: epoch))
        return [len(batch.tokens) for batch in loader]

    first = lengths(0)
    assert lengths(0) == first
    assert lengths(1) != first
    epoch = 1
    assert lengths(0) != first
