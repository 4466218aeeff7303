"""The page of the alphas in a real browser, while a test plays the assessor.

The pictures are kept in $NNI_DARTS_PICTURES where it is set, else in pytest's temporary folder.
"""

from __future__ import annotations

import functools
import http.server
import json
import math
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from choice_histories import choice_reports
from choice_histories import labels as choice_labels
from flat_reports import flat_report
from searches import Report, reports

from nni_darts.assessor import AlphaMonitor

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
expect = sync_api.expect
SECONDS = 1000  # in the browser's milliseconds


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass

    def send_header(self, keyword: str, value: str) -> None:
        # Its time stamps are of whole seconds; NNI's manager has an ETag.
        if keyword != "Last-Modified":
            super().send_header(keyword, value)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "exp1" / "log"
    folder.mkdir(parents=True)
    monkeypatch.setenv("NNI_LOG_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def address(log: Path) -> Iterator[str]:
    """Of the log folder, served as NNI's manager does."""
    handler = functools.partial(Quiet, directory=str(log))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page; in the end there must have been no error and no request to elsewhere."""
    wrong: list[str] = []
    contexts = []

    def opened(part: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: r.url.startswith(address) or wrong.append(r.url))
        page.on("response", lambda r: r.status < 400 or wrong.append(f"{r.status} {r.url}"))
        page.goto(f"{address}alphas.html{part}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Any, str], None]:
    folder = Path(os.environ.get("NNI_DARTS_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"{name}.png", full_page=True)


def tell(monitor: AlphaMonitor, trial: str, made: list[Report]) -> None:
    monitor.assess_trial(trial, made)


def drawn(page: Any) -> list[str]:
    """What the drawings of the cells say, for those who hear them too."""
    return page.locator("#cells svg").evaluate_all("all => all.map(a => a.ariaLabel)")


def epoch(page: Any) -> str:
    return page.locator("#now").inner_text()


def test_a_search_while_it_runs(visit: Any, picture: Any) -> None:
    monitor, made = AlphaMonitor(), reports(30)
    page = visit()
    expect(page.locator("#nothing")).to_be_visible()
    expect(page.locator("#search")).to_be_disabled()

    tell(monitor, "a", made[:1])
    expect(page.locator("#now")).to_have_text("epoch 1 of 1", timeout=6 * SECONDS)
    for count in (2, 12, 30):
        tell(monitor, "a", made[:count])
        expect(page.locator("#now")).to_have_text(f"epoch {count} of {count}", timeout=6 * SECONDS)
    expect(page.locator("#status")).to_have_text("running · 30 epochs")
    last = drawn(page)
    assert len(last) == 2
    for text in last:
        assert len(re.findall(r" → \d [a-z]", text)) == 8
    # Numbered as in the genotype: the first node is 1, and all that it can come from is 0.
    assert re.search(r"\b0 → 1 [a-z]", text)
    picture(page, "alphas-light")

    # The slider, by its keys, and a new epoch meanwhile: it stays where it is.
    page.locator("#epoch").focus()
    page.keyboard.press("Home")
    assert epoch(page) == "epoch 1 of 30"
    assert drawn(page) != last
    page.keyboard.press("ArrowRight")
    assert epoch(page) == "epoch 2 of 30"
    tell(monitor, "a", [*made, *reports(1, start=30)])
    expect(page.locator("#now")).to_have_text("epoch 2 of 31", timeout=6 * SECONDS)

    # Buttons, and arrows anywhere on the page.
    page.locator("#forth").click()
    assert epoch(page) == "epoch 3 of 31"
    page.locator("#back").click()
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    assert epoch(page) == "epoch 3 of 31"

    monitor.trial_end("a", True)
    expect(page.locator("#status")).to_have_text("succeeded · 31 epochs", timeout=6 * SECONDS)


def test_cells_stand_where_the_data_says(visit: Any, log: Path) -> None:
    tell(AlphaMonitor(), "a", reports(3))
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 3 of 3")
    cells = json.loads((log / "alphas" / "search-0.json").read_text())["cells"]
    for number, cell in enumerate(cells):
        svg = page.locator("#cells svg").nth(number)
        drawn = svg.locator("rect:not(.plate)").evaluate_all(
            "all => all.map(r => ['x', 'y', 'width', 'height'].map(k => +r.getAttribute(k)))"
        )
        expected = [[x - w / 2, y - h / 2, w, h] for *_, x, y, w, h in cell["layout"]["boxes"]]
        assert drawn == [pytest.approx(box) for box in expected]
        assert svg.locator("path.faint").count() == 14
        assert svg.locator("path.faint:visible").count() == 14 - 8
        assert svg.locator(".kept").count() == svg.locator(".name").count() == 8


def test_play(visit: Any) -> None:
    tell(AlphaMonitor(), "a", reports(8))
    page = visit()
    play = page.locator("#play")
    expect(page.locator("#now")).to_have_text("epoch 8 of 8")
    play.focus()
    page.keyboard.press("Enter")
    expect(play).to_have_text("Pause")
    expect(page.locator("#now")).to_have_text("epoch 3 of 8", timeout=6 * SECONDS)
    page.keyboard.press("Enter")
    expect(play).to_have_text("Play")
    at = epoch(page)
    page.wait_for_timeout(1500)
    assert epoch(page) == at
    play.click()
    expect(page.locator("#now")).to_have_text("epoch 8 of 8", timeout=9 * SECONDS)
    expect(play).to_have_text("Play")


def test_numbers(visit: Any) -> None:
    made = reports(4)
    tell(AlphaMonitor(), "a", made)
    page = visit()
    cell = page.locator("#heat .heat").first.locator("tbody td").nth(4)
    weight = made[-1]["n2<0 sep3"]
    expect(cell).to_have_attribute("title", re.compile("c_k-2 → 0  sep_conv_3x3  0[.]"))
    assert float(cell.get_attribute("title").split()[-1]) == pytest.approx(weight, abs=5e-5)
    assert page.locator("#heat td.kept").count() == 16
    page.locator("summary").click()
    table = page.locator("#tables table").nth(1)
    expect(table.locator("caption")).to_have_text("reduction cell, epoch 4")
    expect(table.locator("tbody tr")).to_have_count(14)
    expect(table.locator("tbody tr").first.locator("td").nth(3)).to_have_text(
        f"{made[-1]['r2<0 skip']:.4f}"
    )
    page.keyboard.press("Tab")
    page.locator("h1").click()
    page.keyboard.press("ArrowLeft")
    expect(table.locator("caption")).to_have_text("reduction cell, epoch 3")


def test_weights_of_edges(visit: Any, picture: Any) -> None:
    edges = [(kind, n, s) for kind in "nr" for n in range(2, 6) for s in range(n)]
    made = [
        {**r, **{f"{k}{n}<{s}": 2 * (s + 1) / (n * (n + 1)) for k, n, s in edges}}
        for r in reports(4)
    ]
    tell(AlphaMonitor(), "a", made)
    page = visit()
    row = page.locator("#heat .heat").first.locator("tbody tr").nth(4)
    expect(row.locator("td.edge")).to_have_text(".50")
    expect(row.locator("td.edge")).to_have_attribute("title", "0 → 1  0.5")
    expect(page.locator("#times")).to_be_visible()
    width_of = "g.querySelector('path').getAttribute('stroke-width')"
    widths = page.locator("#cells .kept").evaluate_all(
        f"all => all.map(g => [g.textContent, +{width_of}])"
    )
    assert len(widths) == 16
    for text, width in widths:
        operation, edge = map(float, re.findall(r"0[.][0-9]+", text))
        assert width == pytest.approx(1 + 4 * operation * edge, abs=0.006)
    page.locator("summary").click()
    table = page.locator("#tables table").first
    expect(table.locator("thead th").nth(1)).to_have_text("weight of the edge")
    expect(table.locator("tbody tr").nth(4).locator("td").first).to_have_text("0.5000")
    picture(page, "alphas-edge-weights")


def test_without_weights_of_edges_nothing_is_said_of_them(visit: Any) -> None:
    tell(AlphaMonitor(), "a", reports(2))
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 2 of 2")
    expect(page.locator("#times")).to_be_hidden()
    assert page.locator("#heat .edge").count() == 0


def test_choosing_a_search_and_its_verdict_in_the_dark(visit: Any, picture: Any) -> None:
    monitor = AlphaMonitor(on_collapse="stop")
    tell(monitor, "a", reports(10))
    monitor.trial_end("a", True)
    made = reports(25, seed=1, drift=0.2)
    for count in range(1, 26):
        tell(monitor, "b", made[:count])
    monitor.trial_end("b", False)
    page = visit(color_scheme="dark")
    expect(page.locator("#now")).to_have_text("epoch 10 of 10")
    expect(page.locator("#verdict")).to_be_hidden()
    page.locator("#search").select_option("search-1")
    expect(page.locator("#now")).to_have_text("epoch 25 of 25")
    expect(page.locator("#search option").nth(1)).to_have_text(
        "search-1 · seed 1 · stopped · collapsed"
    )
    expect(page.locator("#verdict")).to_contain_text(
        re.compile(r"collapsed after epoch \d+: \d skip connections .* The search was stopped")
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 29)"
    picture(page, "alphas-dark")
    page.reload()
    expect(page.locator("#now")).to_have_text("epoch 25 of 25")


def test_the_stages_of_a_progressive_search(visit: Any, picture: Any) -> None:
    made = reports(6)
    # The second stage has left out two operations of every edge.
    gone = (" none", " maxp")
    made[3:] = [{k: v for k, v in each.items() if not k.endswith(gone)} for each in made[3:]]
    for number, each in enumerate(made):
        each["stage"] = 1 + number // 3
    tell(AlphaMonitor(), "a", made)
    page = visit()
    names = page.locator("#charts .name span").all_text_contents()
    assert names[-1] == "stage of the search"
    values = page.locator("#charts .name b")
    assert values.last.text_content() == "2"
    assert page.locator("#missing").text_content() == ""
    assert all("none" not in text for text in drawn(page))
    picture(page, "progressive")
    page.locator("h1").click()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(values.last).to_have_text("1")


def test_recurrent_cell(visit: Any, picture: Any) -> None:
    tell(AlphaMonitor(), "a", reports(12, kinds=["recurrent"]))
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 12 of 12")
    (text,) = drawn(page)
    assert len(re.findall(r" → \d [a-z]", text)) == 8
    # Numbered as in the genotype: the first node is 1, and all that it can come from is 0.
    assert re.search(r"\b0 → 1 [a-z]", text)
    picture(page, "alphas-recurrent")


@pytest.mark.parametrize("width", [1280, 1024, 760])
def test_gaps_and_no_scrolling_sideways(visit: Any, picture: Any, width: int) -> None:
    made = [r for r in reports(12) if r["epoch"] not in (3, 7, 8)]
    made[5] = {k: v for k, v in made[5].items() if not k.startswith("n3<")}
    tell(AlphaMonitor(), "a", made)
    page = visit(viewport={"width": width, "height": 800})
    expect(page.locator("#missing")).to_have_text(
        "No report of epoch 4, 8-9. Weights are missing in epoch 7."
    )
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for _ in range(3):
        page.locator("#back").click()
    assert epoch(page) == "epoch 7 of 12"
    assert drawn(page)[0] == "normal cell: cannot be derived"
    picture(page, f"alphas-gaps-{width}")


def test_names_do_not_overlap(visit: Any) -> None:
    """On each other or on a state, in any epoch of some searches."""
    monitor = AlphaMonitor()
    for seed in range(3):
        tell(monitor, f"t{seed}", reports(15, seed))
    page = visit()
    for seed in range(3):
        page.locator("#search").select_option(f"search-{seed}")
        expect(page.locator("#now")).to_have_text("epoch 15 of 15")
        for _ in range(15):
            assert page.evaluate(OVERLAPS) == []
            page.keyboard.press("Escape")
            page.locator("h1").click()
            page.keyboard.press("ArrowLeft")


def test_names_and_weights_over_the_epochs_are_whole(visit: Any) -> None:
    widest = [{key: 0.36 if key.endswith(" maxp") else value for key, value in report.items()}
              for report in reports(3)]  # fmt: skip
    tell(AlphaMonitor(), "a", widest)
    page = visit(viewport={"width": 1280, "height": 768})
    expect(page.locator(".many figcaption").first).to_have_text("max_pool_3x3.36")
    assert page.evaluate(CUT) == []


CUT = """() => [...document.querySelectorAll(".many figcaption span")]
  .filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"""


OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("#cells svg")) {
    const names = [...svg.querySelectorAll(".name")];
    const boxes = [...names, ...svg.querySelectorAll("rect:not(.plate)")].map(e =>
      [e.textContent || e.getAttribute("class"), e.getBoundingClientRect()]);
    boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
      const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (i < names.length && across > 2 && down > 3) found.push(`${a} on ${b}`);
    }));
  }
  return found;
}"""


def test_markup_is_shown_as_text(visit: Any) -> None:
    nasty = "</td><script>document.title='x'</script><img src=x onerror=document.title='x'>"
    made = [{**report, **{f"{cell}2<0 {nasty}": 0.9 for cell in "nr"}} for report in reports(3)]
    tell(AlphaMonitor(), "<i>", made)
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 3 of 3")
    page.locator("summary").click()
    expect(page.locator("#tables")).to_contain_text(nasty)  # filled when it opens
    assert page.locator("img, table script").count() == 0
    assert page.title() == "Alphas of exp1"


def test_a_space_without_cells(visit: Any, picture: Any) -> None:
    made = [
        {"default": 0.5, "epoch": e, "key": "search-0", "x.1 conv": 0.3, "x.1 pool": 0.7, "y 16": 1}
        for e in range(3)
    ]
    tell(AlphaMonitor(), "a", made)
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 3 of 3")
    expect(page.locator("#cells-part")).to_be_hidden()
    expect(page.locator("#missing")).to_be_hidden()
    expect(page.locator("#heat tbody th")).to_have_text(["x.1", "y"])
    picture(page, "alphas-choices")


CUT_OFF = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  const all = "header *, .controls *, .choice th, .choice td, .heat th";
  for (const e of document.querySelectorAll(all)) {
    const box = e.getBoundingClientRect(), over = e.scrollWidth - e.clientWidth;
    if (box.width && (box.left < 0 || box.right > wide + .5)) found.push(`out: ${e.textContent}`);
    if (e.matches("th, td") && Math.max(over, e.scrollHeight - e.clientHeight) > 1) {
      found.push(`cut off: ${e.textContent}`);
    }
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_choice_has_a_box(visit: Any, picture: Any, width: int, scheme: str) -> None:
    made = choice_reports(20, 40)
    tell(AlphaMonitor(), "a", made)
    page = visit(viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(page.locator("#now")).to_have_text("epoch 20 of 20")
    expect(page.locator("#heat-title")).to_have_text("Weights of the choices")
    expect(page.locator("#many-part")).to_be_hidden()
    expect(page.locator(".choice")).to_have_count(40)
    assert page.locator(".choice th").all_inner_texts() == choice_labels(40)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT_OFF) == []
    picture(page, f"alphas-choices-{width}-{scheme}")

    # A line and a bar of one colour for each candidate, told apart within the choice.
    boxes = page.locator(".choice").evaluate_all(
        """boxes => boxes.map(box => ({
            lines: [...box.querySelectorAll("path")].map(p => getComputedStyle(p).stroke),
            bars: [...box.querySelectorAll(".bar i")].map(
                i => getComputedStyle(i).backgroundImage.match(/rgb[^)]*[)]/)[0]),
            lead: box.querySelectorAll("tr.lead").length,
        }))"""
    )
    for i, box in enumerate(boxes):
        assert len(set(box["lines"])) == len(box["lines"]) == 2 + i % 9
        assert box["bars"] == box["lines"]
        assert box["lead"] == 1


def test_choices_follow_the_slider(visit: Any) -> None:
    made = choice_reports(6, 3)
    monitor = AlphaMonitor()
    tell(monitor, "a", made[:5])
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 5 of 5")
    colours = "all => all.map(row => row.style.cssText.split(';')[0])"
    before = page.locator(".choice tr[style]").evaluate_all(colours)
    assert len(before) == 2 + 3 + 4

    def weights() -> list[float]:
        return [float(text) for text in page.locator(".choice td.weight").all_inner_texts()]

    def told(epoch: int) -> list[float]:
        rows = [k for k in made[0] if " " in k]
        return [made[epoch][key] for key in rows]

    assert weights() == pytest.approx(told(4), abs=0.0051)
    page.locator("#back").click()
    assert weights() == pytest.approx(told(3), abs=0.0051)
    lead = page.locator(".choice tr.lead td.weight").first.inner_text()
    assert float(lead) == max(weights()[:2])
    tell(monitor, "a", made)
    expect(page.locator("#now")).to_have_text("epoch 4 of 6", timeout=6 * SECONDS)
    assert page.locator(".choice tr[style]").evaluate_all(colours) == before
    # A click on the curves goes to an epoch.
    page.locator(".choice svg").first.click(position={"x": 1, "y": 10})
    expect(page.locator("#now")).to_have_text("epoch 1 of 6")
    page.locator("summary").click()
    table = page.locator("#tables table")
    expect(table.locator("caption")).to_have_text("choices, epoch 1")
    expect(table.locator("tbody tr")).to_have_count(9)
    expect(table.locator("tbody tr").first.locator("td").last).to_have_text(f"{told(0)[0]:.4f}")


@pytest.mark.parametrize("width", [1280, 400])
def test_cells_and_other_choices(visit: Any, picture: Any, width: int) -> None:
    made = [{**a, **b} for a, b in zip(choice_reports(6), reports(6), strict=True)]
    tell(AlphaMonitor(), "a", made)
    page = visit(viewport={"width": width, "height": 800}, color_scheme="dark")
    expect(page.locator("#now")).to_have_text("epoch 6 of 6")
    assert len(drawn(page)) == 2
    expect(page.locator("#heat .heat")).to_have_count(2)
    expect(page.locator("#many figure")).to_have_count(28)
    expect(page.locator(".choices h3")).to_have_text("other choices")
    expect(page.locator(".choice")).to_have_count(5)
    # Of the cells alone.
    expect(page.locator("#legend li")).to_have_count(8)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT_OFF) == []
    page.locator("summary").click()
    expect(page.locator("#tables caption")).to_have_text(
        ["normal cell, epoch 6", "reduction cell, epoch 6", "choices, epoch 6"]
    )
    picture(page, f"alphas-both-{width}")


def test_labels_are_shown_as_text(visit: Any) -> None:
    nasty = "<img src=x onerror=document.title='x'></td>"
    rows = {nasty: {nasty: 0.25, "b\u202e\x1b[31m": 0.75}, "l\u200bx" * 99: {"y" * 999: 1.0}}
    tell(AlphaMonitor(), "a", [{**flat_report(0, 0.5, rows), "key": "search-0"}])
    page = visit(viewport={"width": 400, "height": 800})
    expect(page.locator(".choice")).to_have_count(2)
    page.locator("summary").click()
    assert page.locator("main img").count() == 0
    assert page.title() == "Alphas of exp1"
    assert page.locator(".choice th").first.inner_text() == nasty
    names = page.locator(".choice").first.locator("td.name")
    assert names.all_inner_texts() == [nasty, r"b\u{202e}\u{1b}[31m"]
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.evaluate(CUT_OFF) == []


def test_choices_that_an_earlier_version_wrote(visit: Any, log: Path) -> None:
    tell(AlphaMonitor(), "a", choice_reports(2, 2))
    path = log / "alphas" / "search-0.json"
    values = json.loads(path.read_text())
    (cell,) = values["cells"]
    del cell["candidates"]
    cell["colours"] = [["#112233", "#aabbcc"]] * len(cell["operations"])
    path.write_text(json.dumps(values))
    page = visit()
    expect(page.locator(".choice")).to_have_count(2)
    assert page.locator(".choice td.name").count() == 2 + 3


def test_without_javascript(visit: Any) -> None:
    AlphaMonitor()
    page = visit(java_script_enabled=False)
    assert "JavaScript, which is switched off" in page.inner_text("body")


def test_it_loads_in_a_second(visit: Any) -> None:
    monitor = AlphaMonitor()
    for seed in range(50):
        tell(monitor, f"t{seed}", reports(50 if seed == 0 else 1, seed))
    page = visit("#search-0")
    expect(page.locator("#now")).to_have_text("epoch 50 of 50")
    assert page.evaluate("performance.now()") < 3 * SECONDS  # a second where nothing else runs


def methodical(epochs: int) -> list[Report]:
    """Reports of a search with regularisers, schedules and the eigenvalue of every second epoch."""
    made = reports(epochs)
    for n, report in enumerate(made):
        report["gradient/loss"] = 0.02 / (1 + n / 4)
        report["gradient/BetaDecay"] = 0.1 * n / epochs
        report["gradient/<i>L2</i>"] = 3e-4
        report["schedule/BetaDecay.weight"] = 50 * n / epochs
        report["schedule/Gumbel.tau"] = 10 - 9.9 * n / (epochs - 1)
        if n % 2:
            report["eigenvalue"] = 0.05 + 0.4 * (n / epochs) ** 3
    return made


def chart(page: Any, name: str) -> Any:
    return page.locator(".chart").filter(has_text=name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1366, 400])
def test_what_a_method_adds(visit: Any, picture: Any, width: int, scheme: str) -> None:
    rule = {"window": 5, "lag": 4, "after": 2}
    tell(AlphaMonitor(eigenvalue=rule), "a", methodical(40))
    page = visit(viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(page.locator("#now")).to_have_text("epoch 40 of 40")
    expect(page.locator(".chart")).to_have_count(6)
    expect(page.locator("#verdict")).to_contain_text("largest eigenvalue of the Hessian")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT_OFF) == []
    picture(page, f"alphas-method-{width}-{scheme}")

    gradients = chart(page, "gradient of alpha").locator(".legend li")
    loss, decay = 0.02 / (1 + 39 / 4), 0.1 * 39 / 40
    expect(gradients).to_have_text(
        [
            f"loss{loss:.3g}",
            f"<i>L2</i>3.0e-4 ({3e-4 / loss:.3g} × loss)",
            f"BetaDecay{decay:.3g} ({decay / loss:.3g} × loss)",
        ],
        use_inner_text=True,
    )


def lines_of(box: Any) -> list[dict[str, Any]]:
    """The heights and the colour of every line of a chart."""
    return box.locator("svg path").evaluate_all(
        """paths => paths.map(path => ({
            colour: getComputedStyle(path).stroke,
            pens: path.getAttribute("d").replace(/[^ML]/g, ""),
            heights: path.getAttribute("d").split(/[ML]/).slice(1).map(p => +p.split(" ")[1]),
        }))"""
    )


def test_lines_of_a_method(visit: Any) -> None:
    made = methodical(21)
    tell(AlphaMonitor(), "a", made)
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 21 of 21")
    # One line over the epochs without a value.
    (line,) = lines_of(chart(page, "eigenvalue"))
    assert line["pens"] == "M" + "L" * 9
    assert line["heights"] == sorted(line["heights"], reverse=True)
    value = chart(page, "eigenvalue").locator(".name b")
    expect(value).to_have_text("–")
    page.locator("#back").click()
    expect(value).to_have_text(f"{made[19]['eigenvalue']:.3g}")
    # On one scale, whose labels are powers of ten.
    lines = lines_of(chart(page, "gradient of alpha"))
    assert len({each["colour"] for each in lines}) == 3
    labels = chart(page, "gradient of alpha").locator("svg text").all_text_contents()
    assert labels[:4] == ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"]
    heights = {"loss": lines[0]["heights"], "BetaDecay": lines[2]["heights"]}
    assert len(heights["BetaDecay"]) == 20  # of 0 there is no logarithm
    per_decade = (112 - 8 - 20) / 3
    for name, found in heights.items():
        values = [r[f"gradient/{name}"] for r in made if r[f"gradient/{name}"]]
        expected = [112 - 20 - per_decade * (math.log10(v) + 4) for v in values]
        assert found == pytest.approx(expected, abs=0.06), name
    # Each by its own highest value.
    for line in lines_of(chart(page, "schedules")):
        assert min(line["heights"]) == 8
    texts = chart(page, "schedules").locator(".legend li").all_inner_texts()
    assert texts == ["BetaDecay.weight45.2", "Gumbel.tau0.595"]


def test_what_no_method_adds(visit: Any) -> None:
    tell(AlphaMonitor(), "a", [{**report, "gradient/loss": 1.0} for report in reports(3)])
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 3 of 3")
    expect(page.locator(".chart")).to_have_count(3)


def test_an_eigenvalue_below_zero(visit: Any) -> None:
    made = [{**r, "eigenvalue": v} for r, v in zip(reports(3), (-2e-6, -1e-6, 3e-6), strict=True)]
    tell(AlphaMonitor(), "a", made)
    page = visit()
    expect(page.locator("#now")).to_have_text("epoch 3 of 3")
    box = chart(page, "eigenvalue")
    expect(box.locator(".name b")).to_have_text("3.0e-6")
    (line,) = lines_of(box)
    assert line["heights"][0] > line["heights"][1] > line["heights"][2] > 8
    assert line["heights"][0] < 92
    assert "0" in box.locator("svg text").all_text_contents()
