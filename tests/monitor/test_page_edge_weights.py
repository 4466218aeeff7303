from __future__ import annotations

import json

import pytest
from histories import reports

from nni_darts.history.flat import from_flat
from nni_darts.monitor.page_data import Epoch, Search


def search(weighed: bool) -> Search:
    made = Search("search-0", 0, "abcde")
    for report in reports(3):
        edges = {
            f"{kind}{node}<{source}": (source + 1) / (node * (node + 1) / 2)
            for kind in "nr"
            for node in range(2, 6)
            for source in range(node)
        }
        made.add(Epoch.of(from_flat({**report, **edges} if weighed else report)))
    return made


@pytest.mark.parametrize("weighed", [False, True])
def test_what_was_written_is_read_back(weighed: bool) -> None:
    before = search(weighed)
    text = before.to_json()
    after = Search.from_json(text, "running")
    assert after.to_json() == text
    for number, epoch in before.epochs.items():
        assert after.epochs[number].edge_weights.keys() == epoch.edge_weights.keys()
        for kind, row in epoch.edge_weights.items():
            assert after.epochs[number].edge_weights[kind] == pytest.approx(row, abs=5e-5)
            assert len(row) == 14


def test_weights_of_edges_come_last_and_only_where_there_are_any() -> None:
    without, weighed = (json.loads(search(w).to_json()) for w in (False, True))
    assert {len(epoch) for epoch in without["epochs"]} == {4}
    normal, reduce = weighed["epochs"][-1][4]
    assert normal == reduce
    assert normal[:5] == [0.3333, 0.6667, 0.1667, 0.3333, 0.5]


def test_weights_of_edges_decide_the_cells() -> None:
    kept = [search(w).epochs[2].kept for w in (False, True)]
    assert kept[0] is not None
    assert kept[1] is not None
    sources = [[row[1] for row, _ in each["normal"]] for each in kept]
    assert sources[0] != sources[1]
    # The weights grow with the source.
    assert sum(sources[1]) > sum(sources[0])
