from __future__ import annotations

import json

from choice_histories import choice_reports
from choice_histories import labels as choice_labels
from searches import reports

from nni_darts.history.flat import from_flat
from nni_darts.monitor.page_data import FIGURES, Epoch, Search
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


def test_figures_that_only_some_methods_have() -> None:
    search, made = Search("search-0", 0, "a"), reports(3)
    search.add(Epoch.of(from_flat(made[0])))
    json.loads(search.to_json())
    more = {"gradient/loss": 0.5, "schedule/Gumbel.tau": 10, "eigenvalue": 0.25, "other": 1}
    search.add(Epoch.of(from_flat({**made[1], **more})))
    values = json.loads(search.to_json())
    assert values["figures"] == [*FIGURES, "gradient/loss", "schedule/Gumbel.tau"]
    rows = [dict(zip(values["figures"], row[1], strict=True)) for row in values["epochs"]]
    assert [row["gradient/loss"] for row in rows] == [None, 0.5]
    assert [row["schedule/Gumbel.tau"] for row in rows] == [None, 10]
    assert [each.eigenvalue for each in search.figures()] == [None, 0.25]
    assert Search.from_json(search.to_json(), "running").to_json() == search.to_json()


def test_figures_that_an_earlier_version_did_not_know() -> None:
    search = Search("search-0", 0, "a")
    search.add(Epoch.of(from_flat(reports(1)[0])))
    values = json.loads(search.to_json())
    place = values["figures"].index("eigenvalue")
    values["figures"].pop(place)
    values["epochs"][0][1].pop(place)
    again = Search.from_json(json.dumps(values), "running")
    assert [each.eigenvalue for each in again.figures()] == [None]
    assert again.to_json() == search.to_json()
