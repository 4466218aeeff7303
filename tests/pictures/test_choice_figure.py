from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from choice_histories import choice_reports, labels
from drawings import EVIL, require_harmless
from histories import records, reports
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image

from nni_darts.cli.main import main
from nni_darts.history.flat import from_flat
from nni_darts.pictures import drawing
from nni_darts.pictures.animation import animation, frames_of
from nni_darts.pictures.choice_figure import figure_of_choices
from nni_darts.pictures.colours import colours_among

CHOICES = {
    "block": {"conv": 0.25, "pool": 0.7, "skip_connect": 0.05},
    "depth": {"1": 0.5, "2": 0.5},
}


def texts(figure: Any) -> list[Any]:
    found = [text for part in (figure, *figure.axes) for text in part.texts]
    return [text for text in found if text.get_text()]


def require_room(figure: Any) -> None:
    """No text is cut off, and none lies on another."""
    renderer: Any = FigureCanvasAgg(figure).get_renderer()
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts(figure)]
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.y1, text
    for (a, p), (b, q) in itertools.combinations(boxes, 2):
        across, down = min(p.x1, q.x1) - max(p.x0, q.x0), min(p.y1, q.y1) - max(p.y0, q.y0)
        # The room above and below the letters may be shared.
        assert across <= 1 or down <= 0.4 * min(p.height, q.height), (a, b)


def test_each_choice_has_a_panel_and_each_candidate_a_bar() -> None:
    figure = figure_of_choices(CHOICES, title="epoch 3")
    assert {text.get_text() for text in texts(figure)} == {
        "epoch 3",
        *CHOICES,
        *(name for row in CHOICES.values() for name in row),
        *(f"{weight:.2f}" for row in CHOICES.values() for weight in row.values()),
    }
    # The strongest by its letters, too; of equals the first.
    strong = [text.get_text() for text in texts(figure) if text.get_weight() == "bold"]
    assert strong == ["block", "pool", "0.70", "depth", "1", "0.50"]
    bars = [bar for bar in figure.axes[0].patches if bar.get_gid()]
    leads = [bar.get_gid() == "leads" for bar in bars]
    assert leads == [False, True, False, True, False]
    shares = [bar.get_width() / bars[1].get_width() for bar in bars]
    assert shares == pytest.approx([w / 0.7 for row in CHOICES.values() for w in row.values()])
    colours = [colour.light.lower() for row in CHOICES.values() for colour in colours_among([*row])]
    assert [to_hex(bar.get_facecolor()) for bar in bars] == colours


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_nothing_is_cut_off_or_covered(count: int) -> None:
    made = choice_reports(3, count)
    require_room(figure_of_choices(from_flat(made[-1]).choices, title="epoch 3"))
    figure = drawing.figure_of_history(records(made))
    require_room(figure)
    titles = [text.get_text() for text in texts(figure)]
    for label in labels(count):
        assert any(t == label or ("…" in t and label.startswith(t.split("…")[0])) for t in titles)
    assert figure.get_figwidth() < 13
    assert figure.get_figheight() < 32


def test_curves_over_the_epochs_break_where_epochs_are_missing() -> None:
    rows = [
        {"epoch": epoch, "x a": 0.5 + epoch / 20, "x b": 0.5 - epoch / 20}
        for epoch in (0, 1, 2, 4, 6, 7)
    ]
    figure = drawing.figure_of_history(records(rows))
    *_, panels = figure.axes
    curves = [line for line in panels.lines if line.get_linewidth() > 1]
    assert [len(line.get_xdata()) for line in curves] == [3, 1, 2] * 2
    assert [line.get_marker() for line in curves[:3]] == ["None", ".", "None"]
    down = curves[0].get_ydata()  # y goes down, the weight of a up
    assert down[0] > down[1] > down[2]
    assert [t.get_text() for t in panels.texts if "." in t.get_text()][-2:] == ["0.85", "0.15"]


def test_a_space_without_cells_has_no_skips_and_no_legend() -> None:
    figure = drawing.figure_of_history(records(choice_reports(2)))
    assert [axes.get_title() for axes in figure.axes] == [
        "validation accuracy",
        "entropy of the weights (nats)",
        "",
    ]
    assert figure.legends == []


def test_cells_and_other_choices() -> None:
    both = [{**a, **b} for a, b in zip(choice_reports(3), reports(3), strict=True)]
    figure = drawing.figure_of_history(records(both))
    assert len(figure.axes) == 3 + 2 * 14 + 1
    assert len(figure.legends) == 1
    assert "other choices" in [text.get_text() for text in figure.texts]
    require_room(figure)
    frames = frames_of(records(both))
    assert [(len(f.cells), len(f.choices)) for f in frames] == [(2, 5)] * 3
    with Image.open(io.BytesIO(animation(frames))) as image:
        size = image.size
    with Image.open(io.BytesIO(animation(frames_of(records(reports(3)))))) as image:
        assert size[0] >= image.width
        assert size[1] > image.height + 100


def test_names_may_be_anything() -> None:
    rows = {f"label {EVIL}": {f"candidate {EVIL}": 0.25, "$x$": 0.75}, EVIL: {"<b>": 1.0}}
    require_harmless(drawing.rendered(figure_of_choices(rows, title=EVIL), "svg"))
    written = {text.get_text() for text in texts(figure_of_choices({"$a$ $b$": {"$x$": 1.0}}))}
    assert written == {"$a$ $b$", "$x$", "1.00"}


# Commands


def written(path: Path, made: list[dict[str, Any]]) -> str:
    pd.DataFrame(made).to_csv(path, index=False)
    return str(path)


def test_plot_and_animate_a_space_without_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = choice_reports(4)
    made[1] = {k: v for k, v in made[1].items() if not k.startswith("s0_")}
    history = written(tmp_path / "history.csv", made)
    picture, film = tmp_path / "alphas.svg", tmp_path / "search.gif"
    assert main(["plot", history, "-o", str(picture)]) == 0
    assert main(["animate", history, "-o", str(film)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"written to {picture}: 4 epochs\nwritten to {film}: 3 epochs\n"
    assert printed.err == "note: weights are missing in epoch 2\n" * 2
    with Image.open(film) as image:
        shown = []
        for frame in range(image.n_frames):
            image.seek(frame)
            shown.append(image.convert("RGB").tobytes())
    assert len(set(shown)) == 3


def test_the_same_picture_is_the_same_file() -> None:
    table = records(choice_reports(3))
    first, second = (drawing.rendered(drawing.figure_of_history(table), "svg") for _ in range(2))
    assert first == second
