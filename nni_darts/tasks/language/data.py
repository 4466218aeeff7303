"""Data of a language model: of a search, and of a training from scratch.

Weights are learnt on the training text. The validation text is what alpha is learnt on in a search,
and what networks are compared on; the test text is read nowhere but in the `setup` of
`TextTrainingData` for a test, and in its `check_test`, which keeps nothing of it.
"""

from __future__ import annotations

import os

from pytorch_lightning import LightningDataModule
from torch import Tensor

from nni_darts._common import limits
from nni_darts._common.checks import as_path, choice, whole
from nni_darts.tasks.language.sources import TEXTS, Part, TextSource
from nni_darts.tasks.language.streams import (
    StreamLoader,
    equal_lengths,
    halved_lengths,
    seeded,
    streams,
    varied_lengths,
)
from nni_darts.tasks.language.vocabulary import TextError, Vocabulary

VAL_STREAMS = 10
"""Parallel streams that are validated on, as in the reference."""
TEST_STREAMS = 1
"""Parallel streams that are tested on, as in the reference: the text as it is read."""
_TESTED = (2 * TEST_STREAMS, f"{TEST_STREAMS} stream of two")


class _Text(LightningDataModule):
    """Texts as numbers, shared by both kinds of data.

    Args: see `TextSearchData`.
    """

    def __init__(
        self,
        name: str,
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int = 256,
        bptt: int = 35,
    ) -> None:
        super().__init__()
        choice("text", name, TEXTS)
        self.source = TextSource(name, None if root is None else as_path("root", root))
        self.name = name
        self.batch_size = whole("batch_size", batch_size, 1, limit=limits.BATCH_SIZE)
        self.bptt = whole("bptt", bptt, 1, limit=limits.STEPS)
        self._vocabulary: Vocabulary | None = None
        self._tokens: dict[Part, Tensor] = {}

    @property
    def words(self) -> tuple[str, ...]:
        """Vocabulary: the distinct words of the training text in order. Raises as `setup`."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary.of(self.source.read("train"))
        return self._vocabulary.words

    @property
    def vocabulary(self) -> int:
        """Number of words in the vocabulary. Raises as `setup`."""
        return len(self.words)

    def check(self) -> None:
        """Check for everything that `prepare_data` would find wrong. Raises as `setup`."""
        for part in ("train", "valid"):
            self.source.check(part)

    def prepare_data(self) -> None:
        """See that the texts are there. Raises as `setup`."""
        self.check()

    def setup(self, stage: str | None = None) -> None:
        """Read the training and the validation text; a second call does nothing.

        Raises:
            MissingDataError: a text is not there.
            TextError: a text is empty, too short or not in UTF-8; or the training text has neither
                some word of another one nor `nni_darts.tasks.language.vocabulary.UNKNOWN`.
        """
        if "train" not in self._tokens:
            # A stream of one word has none to predict.
            least = self.batch_size * max(2, self.bptt)
            words = f"bptt {self.bptt}" if self.bptt > 1 else "the two that bptt 1 needs"
            what = f"batch_size {self.batch_size} times {words}"
            self._read("train", least, what)
            self._read_validation(least, what)

    def _read_validation(self, least: int, what: str) -> None:
        raise NotImplementedError

    def _read(self, part: Part, least: int, what: str) -> None:
        self._tokens[part] = self._encoded(part, least, what)

    def _encoded(self, part: Part, least: int, what: str) -> Tensor:
        text, where = self.source.read(part), self.source.where(part)
        if self._vocabulary is None:
            assert part == "train", "the vocabulary is that of the training text"
            self._vocabulary = Vocabulary.of(text)
        tokens = self._vocabulary.encode(text, where)
        if len(tokens) <= least:
            raise TextError(
                f"{where} must have more than {least} words, {what}, got {len(tokens)}; lower "
                "these or take a longer text"
            )
        return tokens

    def tokens(self, part: Part) -> Tensor:
        """Tokens of a text that has been read: int64 (N,), numbers of `words`."""
        if part not in self._tokens:
            stage = "'test'" if part == "test" else ""
            raise RuntimeError(f"the {part} text is not loaded yet: call setup({stage}) first")
        return self._tokens[part]

    def _measured(self, part: Part, count: int) -> StreamLoader:
        return StreamLoader(streams(self.tokens(part), count), equal_lengths(self.bptt))


class TextSearchData(_Text):
    """Data of a search for a recurrent cell.

    w is learnt on the training text; alpha on the validation text, in as many streams, which begin
    again when they end. Batches draw from torch's global random state, so a run that is resumed
    with that state repeats them.

    Args:
        name: a key of `nni_darts.tasks.language.sources.TEXTS`: "alice", "ptb", "wikitext2" or
            "text".
        root: folder of its texts, see `TextSource`; for alice there is none.
        batch_size: parallel streams; the paper's is 256.
        bptt: words that a batch has of each stream, most of the time (`halved_lengths`).

    Raises:
        ValueError: an argument is out of its range, or not for this data set.
    """

    def _read_validation(self, least: int, what: str) -> None:
        self._read("valid", least, what)

    def train_dataloader(self) -> StreamLoader:
        data = streams(self.tokens("train"), self.batch_size)
        return StreamLoader(data, halved_lengths(self.bptt))

    def alpha_dataloader(self) -> StreamLoader:
        return self._measured("valid", self.batch_size)

    def val_dataloader(self) -> StreamLoader:
        """Loader of the validation text; the supernet normalises over its `batch_size` streams."""
        return self._measured("valid", self.batch_size)


class TextTrainingData(_Text):
    """Data of a training from scratch.

    The lengths of the batches depend on `run_seed` and the epoch alone, and so does all that is
    drawn in that epoch (see `nni_darts.tasks.language.streams.seeded`).

    Args:
        name: see `TextSearchData`.
        root: see `TextSearchData`.
        batch_size: parallel streams; the paper's is 64.
        bptt: words that a batch has of each stream, on the average (`varied_lengths`).
        run_seed: seed of this training, from 0 to 2**32 - 1.

    Raises:
        ValueError: an argument is out of its range, or not for this data set.
    """

    def __init__(
        self,
        name: str,
        *,
        root: str | os.PathLike[str] | None = None,
        batch_size: int = 64,
        bptt: int = 35,
        run_seed: int = 0,
    ) -> None:
        super().__init__(name, root=root, batch_size=batch_size, bptt=bptt)
        self.run_seed = whole("run_seed", run_seed, 0, limits.SEED)

    def setup(self, stage: str | None = None) -> None:
        """Read the test text for the stage "test", else the training and the validation text."""
        if stage != "test":
            super().setup(stage)
        elif "test" not in self._tokens:
            _ = self.words
            self._read("test", *_TESTED)

    def check_test(self) -> None:
        """Check for everything that `setup("test")` would find wrong; no text is kept."""
        _ = self.words
        self._encoded("test", *_TESTED)

    def _read_validation(self, least: int, what: str) -> None:
        self._read("valid", 2 * VAL_STREAMS, f"{VAL_STREAMS} streams of two")

    def train_dataloader(self) -> StreamLoader:
        return StreamLoader(
            streams(self.tokens("train"), self.batch_size),
            varied_lengths(self.bptt),
            seeded(self.run_seed, self._epoch),
        )

    def val_dataloader(self) -> StreamLoader:
        """The validation text in `VAL_STREAMS` streams, from a fresh state."""
        return self._measured("valid", VAL_STREAMS)

    def test_dataloader(self) -> StreamLoader:
        """The test text in `TEST_STREAMS` streams, from a fresh state."""
        return self._measured("test", TEST_STREAMS)

    def _epoch(self) -> int:
        return 0 if self.trainer is None else self.trainer.current_epoch
