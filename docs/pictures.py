"""Makes the pictures of the documentation, from a search that has been run.

    nni-darts run experiments/darts.yml
    python docs/pictures.py ~/nni-experiments/ID/environments/local-env/runs/search-0/history.csv

The page is opened in the system's chromium (Debian: apt install chromium) by playwright.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import shutil
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from nni_darts.genotypes import published
from nni_darts.history import csv_file
from nni_darts.history.flat import to_flat
from nni_darts.pictures import drawing

HERE = Path(__file__).parent


def cell() -> None:
    """A published cell, as `nni-darts draw` makes it."""
    drawing.save(drawing.figure_of_cells(published.get("DARTS_V2").cells), HERE / "cell.svg")


def alphas(history: Path) -> None:
    """The alpha page of a search."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "digits" / "log"
        log.mkdir(parents=True)
        os.environ["NNI_LOG_DIRECTORY"] = str(log)
        from nni_darts.assessor import AlphaMonitor

        reports = [{"key": "search-0", **to_flat(record)} for record in csv_file.read(history)]
        AlphaMonitor().assess_trial("search", reports)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(log))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with sync_playwright() as play:
                browser = play.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                page = browser.new_page(viewport={"width": 1200, "height": 800})
                page.goto(f"http://127.0.0.1:{server.server_port}/alphas.html")
                page.locator("#cells svg").first.wait_for()
                page.wait_for_timeout(1000)
                # The cells and the first rows of the heat maps.
                clip = {"x": 0, "y": 0, "width": 1200, "height": 1000}
                page.screenshot(path=HERE / "alphas.png", full_page=True, clip=clip)
                browser.close()
            server.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("history", type=Path)
    cell()
    alphas(parser.parse_args().history)
