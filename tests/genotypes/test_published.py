"""nni_darts/genotypes/published.py: names, and what a user may give for a genotype."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nni_darts.genotypes import published
from nni_darts.genotypes.genotype import FORMATS, Genotype

SHARED = Path(__file__).parents[3] / "shared"
SMALL = Genotype.parse(
    '{"normal": [["skip_connect", 0], ["sep_conv_3x3", 1]], "normal_concat": [2], '
    '"reduce": [["max_pool_3x3", 0], ["skip_connect", 1]], "reduce_concat": [2]}'
)


def test_every_name_has_a_genotype_and_a_source() -> None:
    names = published.names()
    assert len(names) == len(set(names)) == 14
    assert {"NASNet", "DARTS_V1", "DARTS_V2", "PDARTS", "RNN_DARTS_V2"} < set(names)
    for name in names:
        kinds = [cell.kind for cell in published.get(name).cells]
        assert kinds == (["recurrent"] if name.startswith("RNN") else ["normal", "reduce"])
    assert published.source("DARTS_V2") == "quark0/darts cnn/genotypes.py"
    assert len({published.get(name).digest for name in names}) == 14


def test_they_are_the_recorded_ones() -> None:
    path = SHARED / "genotypes.json"
    if not path.exists():
        pytest.skip(f"{path} is not part of the repository")
    recorded = json.loads(path.read_text())
    assert published.names() == tuple(recorded)
    for name, entry in recorded.items():
        assert published.get(name) == Genotype.parse(json.dumps(entry))
        assert published.source(name) == entry["source"]
    data = json.loads(Path(published.__file__).with_name("published.json").read_text())
    assert data == recorded


def test_unknown_names(message: Callable[..., str]) -> None:
    for call in (published.get, published.source):
        text = message(ValueError, call, "DARTS_V3")
        assert text.startswith("unknown genotype 'DARTS_V3'; did you mean 'DARTS_V2'? (known: NAS")


# find


def test_find_takes_a_name() -> None:
    assert published.from_argument("PDARTS") == published.get("PDARTS")


@pytest.mark.parametrize("style", FORMATS)
def test_find_takes_a_text(style: str) -> None:
    assert published.from_argument(SMALL.to_text(style)) == SMALL


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_find_takes_a_file(style: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "best"
    path.write_text(f"{mark}{SMALL.to_text(style)}\n", encoding="utf-8")
    assert published.from_argument(str(path)) == SMALL


def test_find_takes_a_file_as_the_authors_write_it(tmp_path: Path) -> None:
    path = tmp_path / "genotypes.py"
    text = published.get("DARTS_V2").to_authors().replace(", ", ",\n    ")
    path.write_text(f"DARTS_V2 = {text}\n")
    assert published.from_argument(str(path)) == published.get("DARTS_V2")


def test_a_name_comes_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("DARTS_V2").write_text(SMALL.to_json())
    Path("other").write_text(SMALL.to_json())
    assert published.from_argument("DARTS_V2") == published.get("DARTS_V2")
    assert published.from_argument("./DARTS_V2") == published.from_argument("other") == SMALL


@pytest.mark.parametrize("text", ["DARTS_V3", "", "no/such/file.json", "a\0b", "a\nb", "x" * 9999])
def test_what_is_nothing(text: str, message: Callable[..., str]) -> None:
    error = message(ValueError, published.from_argument, text)
    assert error.startswith("unknown genotype ")
    assert error.endswith("pt_darts_CIFAR10); or give a file or the text of a genotype")
    assert ("did you mean 'DARTS_V2'?" in error) == (text == "DARTS_V3")


@pytest.mark.parametrize("text", ["{", "Genotype(", "{}", "open('x')"])
def test_a_bad_text(text: str, message: Callable[..., str]) -> None:
    assert "genotype" in message(ValueError, published.from_argument, text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not a genotype"),
        (b"DARTS_V2", "not a genotype"),
        (SMALL.to_json().encode()[:-1], "not a genotype: invalid JSON"),
        (SMALL.to_json().replace("sep_conv_3x3", "sepconv_3x3").encode(), "did you mean 'sep_conv"),
        (b"\xff\xfe{", "expected a genotype in UTF-8, got other bytes"),
        (b" " * 50_001, "expected at most 50000 characters, the file has more"),
    ],
)
def test_a_bad_file_is_named(
    content: bytes, expected: str, tmp_path: Path, message: Callable[..., str]
) -> None:
    path = tmp_path / "best.json"
    path.write_bytes(content)
    error = message(ValueError, published.from_argument, str(path))
    assert error.startswith(f"'{path}': ")
    assert expected in error


def test_a_path_with_brackets(tmp_path: Path, message: Callable[..., str]) -> None:
    path = tmp_path / "best (1) {2}.json"
    assert "unknown genotype" in message(
        ValueError, published.from_argument, str(path.with_suffix(".txt"))
    )
    path.write_text(SMALL.to_json())
    assert published.from_argument(str(path)) == SMALL


def test_a_file_of_several_genotypes(tmp_path: Path) -> None:
    path = tmp_path / "best.txt"
    for form in ("to_json", "to_authors"):
        texts = [getattr(g, form)() for g in (SMALL, published.get("DARTS_V2"))]
        path.write_text("# the best one\n" + "\n".join(texts) + "\n")
        assert published.from_argument(str(path)) == SMALL
    path.write_text(json.dumps(json.loads(SMALL.to_json()), indent=1))
    assert published.from_argument(str(path)) == SMALL


def test_a_file_of_the_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(SMALL.to_json().ljust(50_000))
    assert published.from_argument(str(path)) == SMALL


def test_what_is_no_regular_file(tmp_path: Path, message: Callable[..., str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, Path("/dev/zero")):
        error = message(ValueError, published.from_argument, str(path))
        assert error == f"'{path}': expected a regular file that holds a genotype"


def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: Callable[..., str]
) -> None:
    path = tmp_path / "best.json"
    path.write_text(SMALL.to_json())

    def refuse(*_: object, **__: object) -> None:  # rights do not bind root, who may run the tests
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    error = message(ValueError, published.from_argument, str(path))
    assert error == f"'{path}': the file cannot be read: Permission denied"
