from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import (
    NAME_A,
    NAME_B,
    SAMPLE,
    SETTINGS,
    TEXT_SETTINGS,
    TRAINING,
    WHOLE,
    A,
    B,
    R,
    as_text,
    ended,
    evaluated,
    searched,
    selected,
    store,
)
from nni_darts.cli.main import main
from nni_darts.experiment import reproduction
from nni_darts.experiment.nni_database import Experiment, StoredError
from nni_darts.experiment.report import html


class Page(HTMLParser):
    """What a page shows, and the elements of which it is made."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words += "" if tag == "code" else " "
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


def page(experiment: Experiment) -> Page:
    made = Page(html(experiment))
    assert made.open == []
    return made


def test_a_finished_experiment(home: Path) -> None:
    words = page(store(home, "abc", WHOLE)).words
    assert "test (abc) test Experiment abc. Search in DartsCNN (channels 4, num_cells 3)" in words
    assert "6 of 6 runs are done; the protocol is over." in words
    assert f"selected genotype {NAME_A}" in words
    assert "mean ± standard deviation of 2 trainings 97.00 ± 1.41%" in words
    assert f"evaluate 1 {NAME_A} 4,474 80.00% 98.00% 2 1.5 cpu evaluate-{NAME_A}-1" in words
    assert f"{NAME_A} selected normal 2: " in words
    assert "4,474 parameters, 79,936 multiply-adds in the network of stage evaluate" in words
    assert "one for each multiplication by a weight" in words
    assert "Seeds: of the split of the data 0; search 0, 1; select 0; evaluate 0, 1." in words
    assert "Versions: python 3.11.7, torch 2.6.0, pytorch-lightning 2.5.0, nni 3.0." in words


def test_a_page_stands_alone_and_runs_nothing(home: Path) -> None:
    name = "<script>alert(1)</script>&amp;"
    experiment = store(home, "abc", WHOLE, experimentName=name)
    text = html(experiment)
    made = Page(text)
    assert {tag for tag, _ in made.tags}.isdisjoint({"script", "link", "iframe", "object", "svg"})
    assert not any(key.startswith("on") for _, attributes in made.tags for key in attributes)
    assert name in made.words  # as text
    images = [attributes for tag, attributes in made.tags if tag == "img"]
    assert [image["alt"] for image in images] == [f"the cells of {n}" for n in (NAME_A, NAME_B)]
    for image in images:
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert ET.fromstring(base64.b64decode(data)).tag.endswith("svg")
    assert len({image["src"] for image in images}) == 2
    assert [a["src"] for _, a in made.tags if "src" in a] == [image["src"] for image in images]
    assert not any("href" in attributes for _, attributes in made.tags)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (
            [*WHOLE[:3], ended("RUNNING", f"select-{NAME_B}-0")],
            [
                "3 of 6 runs are done, 1 under way; the protocol is not over.",
                "nnictl resume abc",
                "No genotype is selected yet.",
            ],
        ),
        (
            [*WHOLE[:3], *[ended("FAILED", f"select-{NAME_B}-0")] * 2],
            [
                f"3 of 6 runs are done, 1 failed for good (select-{NAME_B}-0); the protocol is not",
                f"select-{NAME_B}-0 failed 2 times, or was stopped early: left out",
                f"selected genotype {NAME_A} validation accuracy when selected 60.00%",
                f"select 0 {NAME_B} - - - - - - failed",
            ],
        ),
        (
            [ended("FAILED", f"search-{seed}") for seed in (0, 0, 1, 1)],
            [
                "0 of 2 runs are done, 2 failed for good (search-0, search-1); the protocol cannot "
                "come to its end: no search has a result",
                "No genotype is selected.",
            ],
        ),
    ],
)
def test_an_experiment_that_runs_or_failed(
    trials: list[dict[str, Any]], expected: list[str], home: Path
) -> None:
    words = page(store(home, "abc", trials)).words
    for text in expected:
        assert text in words


def test_a_search_without_the_rest(home: Path) -> None:
    settings = {key: SETTINGS[key] for key in ("space", "data", "search")}
    words = page(store(home, "abc", WHOLE[:2], settings=settings)).words
    assert "2 of 2 runs are done; the protocol is over." in words
    assert f"{NAME_A} normal 2: " in words
    assert f"{NAME_A} trained from scratch, with the paper's settings" in words


def test_a_search_in_a_space_that_is_not_one_of_cells(home: Path) -> None:
    settings = {key: SETTINGS[key] for key in ("space", "data", "search")}
    words = page(store(home, "abc", [searched(0, (-1.0, SAMPLE))], settings=settings)).words
    assert f"architecture 1 {SAMPLE} Found by the search of seed 0" in words
    assert "nni-darts retrain" not in words


def test_genotypes_that_were_given(home: Path) -> None:
    settings = {"genotypes": [A, B], "data": {"name": "digits"}, "select": TRAINING}
    words = page(store(home, "abc", WHOLE[2:4], settings=settings)).words
    assert "Genotypes that were given, on digits 2 of 2 runs are done" in words
    assert f"selected genotype {NAME_A}" in words
    assert "search of seed" not in words
    assert f"{NAME_A} trained from scratch, as to select it" in words


def test_an_experiment_on_text(home: Path) -> None:
    trials = [searched(0, (-3.0, R)), selected(R, 90.0), evaluated(R, 0, 70.25)]
    settings = {**TEXT_SETTINGS, "evaluate": {**TEXT_SETTINGS["evaluate"], "seeds": [0]}}
    settings["search"] = {"seeds": [0], "epochs": 2}
    experiment = store(home, "abc", [as_text(t) for t in trials], settings=settings)
    words = page(experiment).words
    assert "test perplexity 70.25" in words
    assert "validation perplexity when selected 90.00" in words
    assert "multiply-adds of one word" in words.lower()
    assert "accuracy" not in words
    assert "nni-darts retrain" in words
    assert "--hidden 4" in words


@pytest.mark.parametrize("trials", [[], [ended("RUNNING", "search-0")], [ended("FAILED")]])
def test_nothing_to_report_yet(
    trials: list[dict[str, Any]], home: Path, message: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = store(home, "abc", trials)
    text = message(StoredError, html, experiment)
    assert text.startswith("no run of experiment abc has ended with a result; trials: ")
    assert main(["report", "-o", str(home / "page.html")]) == 2
    assert capsys.readouterr().err == f"error: {text}\n"
    assert not (home / "page.html").exists()


def test_the_page_has_no_secrets(home: Path) -> None:
    data = {"name": "mine.Data", "password": "hunter2", "url": "s3://me:hunter2@host"}
    command = "WANDB_API_KEY=hunter2 python -m nni_darts.trial"
    settings = {**SETTINGS, "data": data}
    made = store(home, "abc", [searched(0, (-1.0, A))], settings=settings, trialCommand=command)
    page = html(made)
    assert "hunter2" not in page
    assert "password (left out)" in page


def test_a_name_cannot_turn_the_page_around(home: Path) -> None:
    name = "a\u202eb\x1b[2J"
    experiment = store(home, "abc", WHOLE, experimentName=name)
    assert yaml.safe_load(reproduction.experiment_file(experiment))["experimentName"] == name
    text = html(experiment)
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "a\\u202eb\\x1b[2J" in text
