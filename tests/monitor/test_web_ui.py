"""What a user sees in a real browser while a real search runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml
from live import free_port, until

from nni_darts.experiment import loopback

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = ROOT / "screenshots"
"""Kept as artefacts of CI; git ignores them."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.manager,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium"),
]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the web UI of a small search on digits that has just begun."""
    home = tmp_path_factory.mktemp("home")
    values = yaml.safe_load((ROOT / "experiments/darts.yml").read_text())
    values["trialCodeDirectory"] = values["tuner"]["codeDirectory"] = str(ROOT)
    values["assessor"]["codeDirectory"] = str(ROOT)
    values |= {"maxTrialNumber": 1, "trialConcurrency": 1}
    settings = values["tuner"]["classArgs"]
    settings["space"] |= {"channels": 4, "num_cells": 3, "num_nodes": 2}
    settings["search"] |= {"seeds": [0], "epochs": 30, "batch_size": 128}
    del settings["select"], settings["evaluate"]
    file = home / "search.yml"
    file.write_text(yaml.safe_dump(values))
    port = free_port()
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1"}
    env["NODE_OPTIONS"] = loopback.node_options(os.environ)
    nnictl = [str(BIN / "nnictl")]
    subprocess.run([*nnictl, "create", "--config", str(file), "--port", port], env=env, check=True)
    try:
        yield f"http://localhost:{port}"
    finally:
        boards: list[psutil.Process] = []
        with suppress(OSError):
            for task in get(f"http://localhost:{port}/api/v1/nni/tensorboard-tasks"):
                # NNI starts a shell for each, and forgets what that has started.
                boards += with_descendants(task["pid"])
        try:
            subprocess.run([*nnictl, "stop", "--all"], env=env, check=True)
        finally:
            for process in boards:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def with_descendants(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def context() -> Iterator[Any]:
    """A browser window of a laptop's size."""
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser.new_context(viewport={"width": 1366, "height": 900})
        browser.close()


def reports(address: str) -> int:
    jobs = get(f"{address}/api/v1/nni/trial-jobs")
    if not jobs:
        return 0
    return len(get(f"{address}/api/v1/nni/metric-data/{jobs[0]['trialJobId']}"))


def shoot(page: Any, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_the_alpha_page_follows_a_running_search(address: str, context: Any) -> None:
    until(lambda: reports(address) >= 2)
    page = context.new_page()
    troubles: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(address) else foreign.append(r.url))
    page.goto(f"{address}/logs/alphas.html")
    slider = page.locator("input[type=range]")
    slider.wait_for()
    first = until(lambda: int(slider.get_attribute("max") or 0))
    until(lambda: int(slider.get_attribute("max") or 0) > first + 1)
    shoot(page, "alphas-running")

    def shown() -> str:
        return str(page.locator("main, body").first.inner_text())

    slider.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(300)
    before = shown()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert shown() != before
    assert troubles == []
    assert foreign == []


def test_an_alpha_is_a_line_in_the_dialog_of_nni(address: str, context: Any) -> None:
    until(lambda: reports(address) >= 2)
    page = context.new_page()
    page.goto(f"{address}/detail")
    page.locator("button[title=Intermediate]").first.click()
    dialog = page.locator("[role=dialog]")
    dialog.locator("[role=combobox]").click()
    page.locator("[role=option]", has_text="n2<0 sep3").click()
    assert "n2<0 sep3" in dialog.inner_text()
    page.wait_for_timeout(1500)
    shoot(page, "intermediate")
    drawn = dialog.locator("canvas").first
    assert drawn.bounding_box()["width"] > 200
    # The line has the blue that NNI gives to its first one.
    blue = drawn.evaluate(
        """canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                if (data[i + 3] > 200 && data[i + 2] > data[i] + 60) count += 1;
            return count;
        }"""
    )
    assert blue > 100


def test_the_tensorboard_button_opens_one_that_has_data(address: str, context: Any) -> None:
    until(lambda: reports(address) >= 2)
    page = context.new_page()
    page.goto(f"{address}/detail")
    page.locator("button[title=Intermediate]").first.wait_for()
    page.locator("input[type=checkbox]").last.click(force=True)
    page.locator("button:has-text('TensorBoard')").click()
    with context.expect_page() as opened:
        page.locator("button:has-text('Ok')").click()
    (task,) = get(f"{address}/api/v1/nni/tensorboard-tasks")
    board = f"http://localhost:{task['port']}/data/plugin"

    def tags(kind: str) -> set[str]:
        try:
            return {tag for run in get(f"{board}/{kind}/tags").values() for tag in run}
        except OSError:  # it is starting
            return set()

    until(lambda: {"default", "entropy", "val_loss"} <= tags("scalars"))
    until(lambda: {"alphas", "cells"} <= tags("images"))
    for port in (urlsplit(address).port, int(task["port"])):
        assert port is not None
        assert not loopback.is_exposed(port)
    opened.value.wait_for_timeout(5000)
    shoot(opened.value, "tensorboard")
