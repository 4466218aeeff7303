"""What the README tells a user to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from nni_darts.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
BLOCKS = [text for language, text in FENCED if not language]
STARTS = re.compile(r"nnictl (create|resume|view)|nni-darts run")


def commands(text: str) -> list[list[str]]:
    """Those of nni-darts among the lines of a shell."""
    parts = re.split(r"\n|&&", text.replace("\\\n", " "))
    return [shlex.split(part)[1:] for part in parts if part.strip().startswith("nni-darts ")]


def test_the_first_screen_keeps_the_manager_off_the_network() -> None:
    first = next(block for block in BLOCKS if STARTS.search(block))
    assert README.index(first) < 1200
    safe = re.search(r"nni-darts env|nni-darts run", first)
    starts = STARTS.search(first)
    assert safe is not None
    assert starts is not None
    assert safe.start() <= starts.start()
    assert "0.0.0.0" not in first


@pytest.mark.parametrize("block", [block for block in BLOCKS if "nnictl" in block])
def test_nnictl_starts_no_open_manager(block: str) -> None:
    start = STARTS.search(block)
    assert start is None or "nni-darts env" in block[: start.start()]


@pytest.mark.parametrize(
    "arguments", [a for block in BLOCKS for a in commands(block)], ids=lambda a: " ".join(a)[:40]
)
def test_commands_are_taken(arguments: list[str]) -> None:
    options = main._parser().parse_args(arguments)
    if hasattr(options, "file"):
        assert (ROOT / options.file).exists()


def test_every_command_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    known = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert set(known) == set(re.findall(r"^\| `nni-darts (\w+)", README, re.MULTILINE))


@pytest.mark.parametrize("link", re.findall(r"\]\(([^):]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"(?:experiments|benchmarks|docs)/\w+\.\w+", README)))
)
def test_files_that_are_named_are_there(path: str) -> None:
    assert (ROOT / path).exists()
