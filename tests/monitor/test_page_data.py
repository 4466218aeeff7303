from __future__ import annotations

import json

from choice_histories import choice_reports
from choice_histories import labels as choice_labels
from searches import reports

from nni_darts.history.flat import from_flat
from nni_darts.monitor.page_data import Epoch, Search
from nni_darts.pictures.colours import colours_among


def test_choices_have_names_and_colours_of_their_own() -> None:
    search, made = Search("search-0", 0, "a"), choice_reports(3, 12)
    for report in made[:2]:
        search.add(Epoch.of(from_flat(report)))
    before = search.to_json()
    (cell,) = json.loads(before)["cells"]
    assert cell["edges"] == choice_labels(12)
    own = [[cell["operations"][o] for o in row] for row in cell["candidates"]]
    assert own == [list(row) for row in from_flat(made[0]).choices.values()]
    assert cell["colours"] == [[list(c) for c in colours_among(row)] for row in own]
    again = Search.from_json(before, "running")
    assert again.to_json() == before
    # Colours stay what they are.
    again.add(Epoch.of(from_flat(made[2])))
    assert json.loads(again.to_json())["cells"] == [cell]


def test_cells_and_other_choices_are_kept_apart() -> None:
    search = Search("search-0", 0, "a")
    for choices, cells in zip(choice_reports(3), reports(3), strict=True):
        search.add(Epoch.of(from_flat({**choices, **cells})))
    values = json.loads(search.to_json())
    assert [cell["kind"] for cell in values["cells"]] == ["normal", "reduce", "choices"]
    kept = values["epochs"][-1][3]
    assert list(map(len, kept)) == [16, 16, 0]
    assert Search.from_json(search.to_json(), "running").to_json() == search.to_json()
