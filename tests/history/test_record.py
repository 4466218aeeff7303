from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import pytest

from nni_darts._common.metric import ACCURACY, PERPLEXITY
from nni_darts.history.flat import from_flat, to_flat
from nni_darts.history.record import CellEdge, EpochRecord, mean_entropy, place_of

ROWS = {
    "stem": {1: 0.25, "1": 0.75},
    "normal_3_1": {"none": 0.5, "magic_conv_9x9": 0.5},
    "normal_2_0": {"none": 0.75, "magic_conv_9x9": 0.25},
    "reduce_2_0": {"none": 1.0, "magic_conv_9x9": 0.0},
}


def searched() -> EpochRecord:
    metrics = {"val_ppl": 61.0, "train_ppl": 70.0, "val_loss": 4.1}
    return EpochRecord.of_search(3, PERPLEXITY, metrics, ROWS)


def test_entropy_by_hand() -> None:
    assert mean_entropy({"a": {0: 0.5, 1: 0.5}, "b": {0: 1.0, 1: 0.0}}) == pytest.approx(
        math.log(2) / 2
    )


def test_a_search_has_cells_and_choices_by_their_whole_names() -> None:
    record = searched()
    assert (record.epoch, record.default, record.validation) == (3, 61.0, 61.0)
    assert list(record.metrics) == ["train_ppl", "val_loss", "entropy"]
    assert record.metrics["entropy"] == mean_entropy(ROWS)
    assert list(record.cells) == ["normal", "reduce"]
    assert list(record.cells["normal"].items()) == [
        ((2, 0), ROWS["normal_2_0"]),
        ((3, 1), ROWS["normal_3_1"]),
    ]
    assert record.choices == {"stem": {"1": 0.25, "1~2": 0.75}}


def test_the_metric_of_a_record_is_not_guessed() -> None:
    # Its reports would have no name of the perplexity, and so be taken for those of an accuracy.
    record = replace(searched(), metrics={})
    assert record.metric is PERPLEXITY
    assert record.validation == 61.0
    assert from_flat(to_flat(record)).metric is ACCURACY


@pytest.mark.parametrize(
    ("label", "place"),
    [
        ("normal_2_0", CellEdge("normal", 2, 0)),
        ("recurrent_1_0", CellEdge("recurrent", 1, 0)),
        *((label, label) for label in ("normal_1_0", "normal_2_2", "normal_2", "x_2_0", "depth")),
        *((label, label) for label in ("normal_02_0", "normal_200_0", "normal_2_0_1")),
    ],
)
def test_which_labels_are_edges(label: str, place: object) -> None:
    assert place_of(label) == place


def test_a_training_without_validation_data() -> None:
    record = EpochRecord.of_training(0, ACCURACY, {"train_acc": 0.5, "train_loss": 1.0})
    assert (record.default, record.validation) == (0.5, None)
    record = EpochRecord.of_training(0, ACCURACY, {"train_acc": 0.5, "val_acc": 0.5})
    assert (record.default, record.validation) == (0.5, 0.5)
    assert record.metrics == {"train_acc": 0.5}
    assert replace(record, default=math.nan).validation is None


def test_what_was_written_is_read_back() -> None:
    edge = CellEdge("normal", 2, 0)
    record = replace(searched(), edge_weights={edge: 0.625, CellEdge("reduce", 2, 0): 1.0})
    report = to_flat(record)
    assert report["n2<0"] == 0.625
    again = from_flat(report)
    assert again.edge_weights == record.edge_weights
    assert again.edge_weights_of("normal") == {(2, 0): 0.625}
    assert (again.epoch, again.default, again.validated) == (3, 61.0, True)
    assert again.metrics == record.metrics
    assert again.choices == record.choices
    # Of a user's own operations only their short names are reported.
    assert again.cells["normal"][2, 0] == {"none": 0.75, "magic_c": 0.25}
    assert to_flat(searched()) == {k: v for k, v in report.items() if k not in ("n2<0", "r2<0")}


def test_weights_of_edges_are_no_mixing_weights() -> None:
    weights = {
        "normal_3": {"normal_3_0": 0.125, "normal_3_1": 0.875},
        "reduce_2": {"reduce_2_0": 1.0},
        "own": {"first": 0.25, "second": 0.75},
    }
    metrics = {"val_ppl": 61.0}
    record = EpochRecord.of_search(3, PERPLEXITY, metrics, ROWS, weights)
    assert record.edge_weights == {
        CellEdge("normal", 3, 0): 0.125,
        CellEdge("normal", 3, 1): 0.875,
        CellEdge("reduce", 2, 0): 1.0,
    }
    # The edges of a node that is in no cell are choices as any others.
    assert record.choices == {**searched().choices, "own": {"first": 0.25, "second": 0.75}}
    assert record.cells == searched().cells
    assert record.metrics["entropy"] == mean_entropy(ROWS)
    again = from_flat(to_flat(record))
    assert again.edge_weights == record.edge_weights
    assert again.choices == record.choices


def test_a_record_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        searched().epoch = 4  # type: ignore[misc]
