from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.runs import build
from nni_darts.tasks.components import Component
from nni_darts.tasks.language.data import TextSearchData, TextTrainingData
from nni_darts.tasks.language.sources import PARTS, TextSource
from nni_darts.tasks.language.vocabulary import TextError
from nni_darts.tasks.missing_data import MissingDataError


def texts(folder: Path, train: str = "a b c <unk>", valid: str = "a b", test: str = "b") -> Path:
    for part, line in (("train", train), ("valid", valid), ("test", test)):
        (folder / f"{part}.txt").write_text(f"{line}\n" * 50)
    return folder


def test_alpha_is_learnt_on_the_validation_text(tmp_path: Path) -> None:
    data = TextSearchData("text", root=texts(tmp_path), batch_size=4, bptt=5)
    data.prepare_data()
    data.setup()
    assert data.vocabulary == 5
    assert data.words == ("a", "b", "c", "<unk>", "<eos>")
    train, alpha = next(iter(data.train_dataloader())), next(iter(data.alpha_dataloader()))
    assert train.tokens.shape[1] == alpha.tokens.shape[1] == 4
    assert set(alpha.tokens.flatten().tolist()) == {0, 1, 4}
    # Every word of the streams but the first is predicted, once in an epoch.
    assert sum(b.targets.numel() for b in data.val_dataloader()) == 4 * (150 // 4 - 1)


def test_validation_and_test_in_few_streams(tmp_path: Path) -> None:
    data = TextTrainingData("text", root=texts(tmp_path), batch_size=4, bptt=5)
    data.setup("fit")
    data.setup("test")
    assert next(iter(data.val_dataloader())).tokens.shape == (5, 10)
    assert next(iter(data.test_dataloader())).tokens.shape == (5, 1)
    assert sum(b.targets.numel() for b in data.test_dataloader()) == 100 - 1


def test_the_test_text_is_read_for_a_test_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = TextSource.read
    parts: list[str] = []
    monkeypatch.setattr(TextSource, "read", lambda s, part: parts.append(part) or read(s, part))
    data = TextTrainingData("text", root=texts(tmp_path), batch_size=4, bptt=5)
    data.prepare_data()
    data.setup("fit")
    assert parts == ["train", "valid"]
    with pytest.raises(RuntimeError, match="call setup\\('test'\\)"):
        data.test_dataloader()
    data.setup("test")
    assert parts == ["train", "valid", "test"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"train": ""}, "train.txt is empty"),
        ({"valid": ""}, "valid.txt is empty"),
        ({"train": "a b", "valid": "a c"}, "valid.txt, line 1: the training text has no word 'c'"),
    ],
)
def test_bad_texts(
    lines: dict[str, str], expected: str, tmp_path: Path, message: Callable[..., str]
) -> None:
    root = texts(tmp_path, **lines)
    for kind in (TextSearchData, TextTrainingData):
        data = kind("text", root=root, batch_size=4, bptt=5)
        assert expected in message(TextError, data.setup)


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path: Path) -> None:
    root = texts(tmp_path)
    for part in PARTS:
        path = root / f"{part}.txt"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    data = TextTrainingData("text", root=root, batch_size=4, bptt=5)
    data.setup("fit")
    data.setup("test")
    assert data.words == ("a", "b", "c", "<unk>", "<eos>")
    assert data.tokens("valid")[0] == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff", "must be a text in UTF-8"),
        (b"", "test.txt is empty"),
        (b"b", "test.txt must have more than 2 words"),
        (b"d", "has no word 'd'"),
    ],
)
def test_a_bad_test_text_is_found_before_a_training(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    root = texts(tmp_path, train="a b c")
    (root / "test.txt").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        build.test_data(Component(name="text", root=str(root)), 1)
    (problem,) = caught.value.problems
    assert expected in problem


@pytest.mark.parametrize("kind", [TextSearchData, TextTrainingData])
def test_batches_of_one_word(kind: type[TextSearchData], tmp_path: Path, message: Any) -> None:
    data = kind("text", root=texts(tmp_path), batch_size=50, bptt=1)
    data.setup("fit")
    words = sum(batch.targets.numel() for batch in data.train_dataloader())
    assert words == 50 * (250 // 50 - 1)
    few = kind("text", root=tmp_path, batch_size=150, bptt=1)
    # Streams of one word each have nothing to predict.
    assert "train.txt must have more than 300 words" in message(TextError, few.setup)


def test_a_text_that_is_too_short(tmp_path: Path, message: Callable[..., str]) -> None:
    root = texts(tmp_path)
    text = message(TextError, TextTrainingData("text", root=root, batch_size=25, bptt=10).setup)
    assert "train.txt must have more than 250 words, batch_size 25 times bptt 10, got 250" in text
    # In a search alpha has as many streams as w.
    text = message(TextError, TextSearchData("text", root=root, batch_size=16, bptt=10).setup)
    assert "valid.txt must have more than 160 words" in text
    TextTrainingData("text", root=root, batch_size=16, bptt=10).setup()


def test_a_missing_text(tmp_path: Path, message: Callable[..., str]) -> None:
    root = texts(tmp_path)
    (root / "valid.txt").unlink()
    data = TextTrainingData("text", root=root, batch_size=4, bptt=5)
    assert "no valid.txt" in message(MissingDataError, data.prepare_data)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"bptt": 2.5}, "bptt must be a whole number"),
        ({"run_seed": -1}, "run_seed must be a whole number from 0"),
    ],
)
def test_bad_arguments(
    arguments: dict[str, object], expected: str, message: Callable[..., str]
) -> None:
    assert expected in message(ValueError, TextTrainingData, "alice", **arguments)


REAL = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real texts are not at {REAL}")
@pytest.mark.parametrize(
    ("name", "words", "counts"),
    [
        ("ptb", 10_000, (929_589, 73_760, 82_430)),
        pytest.param("wikitext2", 33_278, (2_088_628, 217_646, 245_569), marks=pytest.mark.slow),
    ],
)
def test_the_real_texts(name: str, words: int, counts: tuple[int, ...]) -> None:
    data = TextTrainingData(name, root=REAL)
    data.setup("fit")
    data.setup("test")
    assert data.vocabulary == words
    assert tuple(len(data.tokens(part)) for part in PARTS) == counts
    assert max(int(data.tokens(part).max()) for part in PARTS) < words
