from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from flat_reports import flat_report
from histories import reports

from nni_darts.genotypes.cell import RNN_PRIMITIVES
from nni_darts.history.flat import from_flat
from nni_darts.history.gaps import gaps
from nni_darts.history.record import EpochRecord


def records(reports: Iterable[dict[str, Any]]) -> list[EpochRecord]:
    return [from_flat(report) for report in reports]


def test_a_whole_history_lacks_nothing() -> None:
    assert gaps(records(reports(3))) == []
    assert gaps(records(reports(2, ["recurrent"], 8, RNN_PRIMITIVES))) == []
    assert gaps([]) == []


def test_what_a_history_lacks() -> None:
    made = reports(12)
    del made[10], made[4:7], made[0]
    assert gaps(records(made)) == ["no report of epochs 1, 5-7, 11"]

    made = reports(3)
    made[1]["n2<0 skip"] = math.nan
    assert gaps(records(made)) == ["weights are missing in epoch 2"]

    # What a stage has left out is not missing, what it lacks is.
    made = reports(4)
    made[2:] = [{k: v for k, v in row.items() if k != "n2<0 skip"} for row in made[2:]]
    for epoch, row in enumerate(made):
        row["stage"] = 1 + epoch // 2
    assert gaps(records(made)) == []
    made[3]["n2<1 skip"] = math.nan
    assert gaps(records(made)) == ["weights are missing in epoch 4"]

    made = [{k: v for k, v in row.items() if not k.startswith(("r", "n3<1"))} for row in reports(2)]
    assert gaps(records(made)) == [
        "no weights of these edges of the normal cell: 3<1",
        "no weights of the reduce cell",
    ]


def test_gaps_of_choices() -> None:
    rows = {"depth": {1: 0.25, 2: 0.25, 3: 0.5}, "a_long_label": {"x": 1.0}}
    made = [flat_report(epoch, 0.5, rows) for epoch in range(4)]
    del made[2]["depth 1"], made[1]
    assert gaps(records(made)) == ["no report of epoch 2", "weights are missing in epoch 3"]
