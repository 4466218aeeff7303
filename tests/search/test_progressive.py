from __future__ import annotations

from nni_darts.search.progressive import edges_in


def test_edges_of_cells_are_told_from_other_labels() -> None:
    labels = {"normal_2_0": 1, "normal_2": 2, "reduce_5_4": 3, "depth": 4, "normal_2_2": 5}
    assert edges_in(labels) == {"normal_2_0": 1, "reduce_5_4": 3}
