from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from drawings import EVIL, require_harmless
from histories import records, reports

from nni_darts.genotypes.cell import RNN_PRIMITIVES
from nni_darts.history.flat import from_flat
from nni_darts.pictures import drawing


def test_the_figure_of_a_history(tmp_path: Path) -> None:
    made = reports(6)
    del made[3], made[1]
    figure = drawing.figure_of_history(records(made))
    accuracy, entropy, skips, *edges = figure.axes
    assert len(edges) == 2 * 14
    assert [axes.get_title() for axes in (accuracy, entropy, skips)] == [
        "validation accuracy",
        "entropy of the weights (nats)",
        "skips in the normal cell",
    ]
    x, y = accuracy.lines[0].get_data()
    assert list(x) == [1, 2, 3, 4, 5, 6]
    assert y[[0, 2, 4, 5]] == pytest.approx([0.5, 0.7, 0.9, 1.0])
    assert pd.isna(y[[1, 3]]).all()
    assert list(accuracy.lines[1].get_xdata()) == [1, 3]  # dots: they stand alone
    drawn = {line.get_color() for line in edges[0].lines}
    assert drawn == {plot_colour(name) for name in from_flat(made[0]).cells["normal"][2, 0]}
    drawing.plot_history(records(made), tmp_path / "alphas.svg")
    assert (tmp_path / "alphas.svg").read_text().rstrip().endswith("</svg>")


def plot_colour(name: str) -> str:
    from nni_darts.pictures.colours import colour_of

    return colour_of(name).light


def test_the_figure_of_what_a_history_has() -> None:
    made = [{k: v for k, v in r.items() if not k.startswith(("r", "n3"))} for r in reports(2)]
    for report in made:
        del report["entropy"], report["default"]
    figure = drawing.figure_of_history(records(made))
    assert len(figure.axes) == 2 + 2 + 4 + 5
    assert [text.get_text() for text in figure.axes[1].texts] == ["not reported"]
    with pytest.raises(ValueError, match="no epoch has weights of edges"):
        drawing.figure_of_history(records([{"epoch": 0, "default": 0.5}]))


def test_heat_maps() -> None:
    (record,) = records(reports(1))
    figure = drawing.heat_maps(record, title="epoch 1")
    normal, reduce, _ = figure.axes
    weights = record.cells
    for axes, kind in ((normal, "normal"), (reduce, "reduce")):
        values = axes.images[0].get_array()
        assert values.shape == (14, 8)
        assert values.tolist() == [list(row.values()) for row in weights[kind].values()]
    (record,) = records(reports(1, ["recurrent"], 8, RNN_PRIMITIVES))
    assert drawing.heat_maps(record).axes[0].images[0].get_array().shape == (36, 5)
    with pytest.raises(ValueError, match="has no weights of edges"):
        drawing.heat_maps(from_flat({"epoch": 0}))


def test_names_may_be_anything() -> None:
    report = {"epoch": 0, "default": 0.5, "n2<0 a\x1b$x$": 0.5, "n2<0 $b": 0.5, "n2<1 $b": 1.0}
    require_harmless(drawing.rendered(drawing.heat_maps(from_flat(report), title=EVIL), "svg"))
    made = records([report, {**report, "epoch": 1}])
    require_harmless(drawing.rendered(drawing.figure_of_history(made), "svg"))
