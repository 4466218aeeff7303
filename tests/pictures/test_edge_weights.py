"""Weights of edges in the pictures of a search."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import records, reports

from nni_darts.history.record import CellEdge
from nni_darts.pictures.animation import frames_of
from nni_darts.pictures.search_figure import figure_of_history, heat_maps


def test_weights_of_edges_are_drawn() -> None:
    edges = {
        CellEdge("normal", n, s): 2 * (s + 1) / (n * (n + 1)) for n in range(2, 6) for s in range(n)
    }
    plain = records(reports(3))
    weighed = [replace(record, edge_weights=edges) for record in plain]
    # Beside the edges in the heat map.
    ticks = [
        [label.get_text() for label in heat_maps(made[-1]).axes[0].get_yticklabels()]
        for made in (plain, weighed)
    ]
    assert ticks[1][:3] == [f"{ticks[0][0]}  .33", f"{ticks[0][1]}  .67", f"{ticks[0][2]}  .17"]
    # A line in each panel of the normal cell, and one in the legend.
    counts = [
        sum(len(axes.lines) for axes in figure_of_history(made).axes) for made in (plain, weighed)
    ]
    assert counts[1] == counts[0] + 2 * 14  # each with dots for epochs that stand alone
    legends = [figure_of_history(made).legends[0].get_texts() for made in (plain, weighed)]
    assert [text.get_text() for text in legends[1][len(legends[0]) :]] == ["weight of the edge"]
    # And they set the widths of the edges of a cell.
    thick = [frames_of(made)[-1].strengths[0] for made in (plain, weighed)]
    for (node, source), strength in thick[0].items():
        weight = edges[CellEdge("normal", node, source)]
        assert thick[1][node, source] == pytest.approx(strength * weight)
