"""The README and the pages under docs/: commands, links, and names of files and modules exist."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml
from dotted_names import resolve

from nni_darts.cli import main
from nni_darts.tasks import registry

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "benchmarks" / "README.md",
    ]
}
README = PAGES["README.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STARTS = re.compile(r"nnictl (create|resume|view)|nni-darts run")


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a page in one language; "" is what a shell takes or prints."""
    return [block for found, block in FENCE.findall(text) if found == language]


def inline(text: str) -> list[str]:
    """The code within the sentences and tables of a page, each in one line."""
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    return [re.sub(r"\s+", " ", span) for span in spans]


def of_pages(*found: tuple[str, str]) -> list[tuple[str, str]]:
    """(page, item) pairs, each once and in order."""
    return sorted(set(found))


def commands(text: str) -> list[list[str]]:
    """The arguments of every call of nni-darts among the lines of a shell."""
    parts = re.split(r"\n|&&", text.replace("\\\n", " "))
    return [shlex.split(part)[1:] for part in parts if part.strip().startswith("nni-darts ")]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command by its name."""
    (subparsers,) = (
        action.choices
        for action in main._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(subparsers)


SHELL_BLOCKS = [block for text in PAGES.values() for block in blocks(text)]
LINKS = of_pages(
    *(
        (page, link)
        for page, text in PAGES.items()
        for link in re.findall(r"\]\(([^):]+)\)", FENCE.sub("", text))
    )
)
FILES = of_pages(
    *(
        (page, path)
        for page, text in PAGES.items()
        for path in re.findall(
            r"(?<![\w/.~-])(?:experiments|benchmarks|docs|tests|nni_darts|search_spaces)/[\w/.-]*\w",
            text,
        )
    )
)
NAMES = of_pages(
    *(
        (page, name)
        for page, text in PAGES.items()
        for name in re.findall(r"\b(?:nni_darts|search_spaces)(?:\.\w+)+", text)
    ),
    *(
        (page, f"{node.module}.{alias.name}")
        for page, text in PAGES.items()
        for block in blocks(text, "python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ),
)
OPTIONS = of_pages(
    *(
        (page, span)
        for page, text in PAGES.items()
        for span in inline(text)
        if re.match(r"nni-darts \w", span)
    )
)
SCRIPTS = of_pages(
    *(
        (page, call)
        for page, text in PAGES.items()
        for code in [*inline(text), *blocks(text)]
        for call in re.findall(r"python (?:benchmarks|docs|tests)/[^\n&]+", code)
    )
)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_the_readme_leads_to_every_page() -> None:
    linked = {link for page, link in LINKS if page == "README.md"}
    assert {page for page in PAGES if page != "README.md"} <= linked


def test_the_first_screen_keeps_the_manager_off_the_network() -> None:
    first = next(block for block in blocks(README) if STARTS.search(block))
    assert README.index(first) < 1200
    safe = re.search(r"nni-darts env|nni-darts run", first)
    starts = STARTS.search(first)
    assert safe is not None
    assert starts is not None
    assert safe.start() <= starts.start()
    assert "0.0.0.0" not in first


@pytest.mark.parametrize("block", [block for block in SHELL_BLOCKS if "nnictl" in block])
def test_nnictl_starts_no_open_manager(block: str) -> None:
    start = STARTS.search(block)
    assert start is None or "nni-darts env" in block[: start.start()]


@pytest.mark.parametrize(
    "arguments",
    [arguments for block in SHELL_BLOCKS for arguments in commands(block)],
    ids=lambda a: " ".join(a)[:40],
)
def test_commands_are_taken(arguments: list[str]) -> None:
    options = main._parser().parse_args(arguments)
    if hasattr(options, "file"):
        assert (ROOT / options.file).exists()


@pytest.mark.parametrize(("page", "span"), OPTIONS)
def test_commands_in_sentences_exist_and_have_these_options(page: str, span: str) -> None:
    for call in re.findall(r"nni-darts (\w+)([^&]*)", span):
        known = parsers()[call[0]]._option_string_actions
        options = re.findall(r"(?<![\w-])--?[a-z][\w-]*", call[1])
        assert set(options) <= set(known), page


@pytest.mark.parametrize(("page", "call"), SCRIPTS)
def test_scripts_have_these_options(page: str, call: str) -> None:
    script = ROOT / call.split()[1]
    assert script.exists(), page
    # Scripts share options: one may be declared beside the script, as a string or as a field.
    declared = "".join(p.read_text(encoding="utf-8") for p in script.parent.glob("*.py"))
    for option in re.findall(r"--[a-z][\w-]*", call):
        field = option.strip("-").replace("-", "_")
        assert re.search(rf'"{option}"|^    {field}: ', declared, re.MULTILINE), page


def test_every_command_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    known = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    table = PAGES["docs/command-line.md"]
    assert set(known) == set(re.findall(r"^\| `nni-darts (\w+)", table, re.MULTILINE))


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_lead_somewhere(page: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists()
    if anchor:
        assert anchor in anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("page", "path"), FILES)
def test_files_that_are_named_are_there(page: str, path: str) -> None:
    assert (ROOT / path).exists(), page


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_modules_and_classes_that_are_named_can_be_imported(page: str, name: str) -> None:
    assert resolve(name) is not None, page


@pytest.mark.parametrize(
    "block", [b for text in PAGES.values() for b in blocks(text, "yaml") if "classArgs" in b]
)
def test_settings_that_are_shown_are_valid(block: str) -> None:
    registry.parse(yaml.safe_load(block)["tuner"]["classArgs"])
