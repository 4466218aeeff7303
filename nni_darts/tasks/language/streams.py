"""Batches of text: parallel streams, read on from the end of the batch before.

A stream carries the hidden state of whoever reads it. The state is handed from batch to batch, not
kept in the model: a batch begins with the state that the last pass over the batch before it left,
however often either is passed over. So the passes of the architect over a training batch do not
disturb the training, and the batches for alpha are a stream of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nni_darts._common import limits
from nni_darts._common.checks import size
from nni_darts._common.seeds import mixed


class Carried:
    """The hidden state between two batches."""

    # No dataclass, which Lightning would copy on its way to the device.
    def __init__(self) -> None:
        self.state: Tensor | None = None
        """float (B, H), detached; None where there is none."""


class Words(NamedTuple):
    """A batch: T words of each of B streams, and the words that follow them."""

    tokens: Tensor
    """int64 (T, B)."""
    targets: Tensor
    """int64 (T, B): targets[t] comes after tokens[t]."""
    before: Carried
    """State left by the batch before; nothing at the beginning of the streams."""
    after: Carried
    """State after this batch, once it has been read."""


def streams(tokens: Tensor, count: int) -> Tensor:
    """Text (N,) as parallel streams (N // count, count); the remainder is dropped."""
    length = len(tokens) // size("count", count, 1, limits.BATCH_SIZE)
    return tokens[: length * count].view(count, length).t().contiguous()


Lengths = Callable[[int], list[int]]
"""Function from the number of words to predict in every stream to the batches' lengths."""


def equal_lengths(bptt: int) -> Lengths:
    """Lengths of `bptt` words, as many as there are, and of what is left."""
    bptt = size("bptt", bptt, 1, limits.STEPS)

    def cut(total: int) -> list[int]:
        whole, rest = divmod(total, bptt)
        return [bptt] * whole + [rest] * (rest > 0)

    return cut


def halved_lengths(bptt: int) -> Lengths:
    """Lengths of the reference's search: each bptt, or half of it with probability 0.05.

    See `_exactly` for the difference.
    """
    bptt = size("bptt", bptt, 1, limits.STEPS)

    def cut(total: int) -> list[int]:
        return _exactly(total, _bases(_steps(total, bptt), bptt).floor())

    return cut


def varied_lengths(bptt: int) -> Lengths:
    """Lengths of the reference's training: normal, 5 around bptt or its half; 5 to bptt + 20.

    See `_exactly` for the difference.
    """
    bptt = size("bptt", bptt, 1, limits.STEPS)

    def cut(total: int) -> list[int]:
        bases = _bases(_steps(total, bptt), bptt)
        drawn = (bases + 5 * torch.randn(len(bases))).trunc()
        return _exactly(total, drawn.clamp(min(5, bptt), bptt + 20))

    return cut


def _steps(total: int, bptt: int) -> int:
    # No more than there are words: every batch has one.
    return min(total, max(1, round(total / (0.95 * bptt + 0.05 * bptt / 2))))


def _bases(steps: int, bptt: int) -> Tensor:
    return torch.where(torch.rand(steps) < 0.95, float(bptt), bptt / 2)


def _exactly(total: int, lengths: Tensor) -> list[int]:
    """Lengths (N,) that cover the streams: a random share of them is longer or shorter by a word.

    The reference stops at the end of the streams after whatever number of batches; here every epoch
    has the same number, which a trainer wants to know before.
    """
    lengths = lengths.long().clamp(min=1)
    while missing := total - int(lengths.sum()):
        step = 1 if missing > 0 else -1
        able = torch.nonzero(lengths + step >= 1).flatten()
        chosen = able[torch.randperm(len(able))[: abs(missing)]]
        lengths[chosen] += step
    return [int(length) for length in lengths]


class StreamLoader:
    """An epoch over streams: batches that follow each other, from a fresh state.

    The lengths are drawn from torch's global random state when the first batch is asked for.

    Args:
        data: int64 (L, B), as `streams` gives it, with L at least 2.
        lengths: function that gives the lengths of the batches.
        begin: called when the first batch of an epoch is asked for, before anything is drawn.
    """

    def __init__(
        self, data: Tensor, lengths: Lengths, begin: Callable[[], None] | None = None
    ) -> None:
        self._data = data
        self._lengths = lengths
        self._begin = begin
        # How many there are must not hang on, or change, what is drawn.
        with torch.random.fork_rng(devices=[]):
            self._count = len(lengths(len(data) - 1))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Words]:
        if self._begin is not None:
            self._begin()
        before, start = Carried(), 0
        for length in self._lengths(len(self._data) - 1):
            after, end = Carried(), start + length
            yield Words(self._data[start:end], self._data[start + 1 : end + 1], before, after)
            before, start = after, end


def seeded(seed: int, epoch: Callable[[], int]) -> Callable[[], None]:
    """Seeder for `StreamLoader`'s `begin`: torch's random state follows (seed, epoch) alone.

    The lengths and the dropout of the epoch follow from there, so that a training that is resumed
    at an epoch repeats it bit for bit.
    """

    def begin() -> None:
        torch.manual_seed(mixed(seed, epoch()))

    return begin
