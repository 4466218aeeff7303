from __future__ import annotations

import pytest

from nni_darts.genotypes.cell import OPERATIONS, PRIMITIVES
from nni_darts.history.keys import MAX_KEY, short_keys
from nni_darts.history.record import CellEdge, place_of


def edges(kind: str, inputs: int = 2, nodes: int = 4) -> list[str]:
    return [f"{kind}_{j}_{i}" for j in range(inputs, inputs + nodes) for i in range(j)]


def test_keys_of_the_darts_cells() -> None:
    labels = [*edges("normal"), *edges("reduce")]
    keys = short_keys({place_of(label): PRIMITIVES for label in labels})
    assert keys[CellEdge("normal", 2, 0), "sep_conv_3x3"] == "n2<0 sep3"
    assert keys[CellEdge("reduce", 5, 4), "skip_connect"] == "r5<4 skip"
    assert len(set(keys.values())) == 224


@pytest.mark.parametrize(
    "labels",
    [
        {"a_very_long_label_for_a_choice": ["conv_one", "conv_two", "3"]},
        {f"stage{i}_of_the_network": list(OPERATIONS) for i in range(30)},
        {"normal/2_0": ["x"], "normal/2_1": ["x"], "depth": ["1", "2", "3"]},
    ],
)
def test_other_keys_are_short_and_distinct(labels: dict[str, list[str]]) -> None:
    keys = short_keys({place_of(label): names for label, names in labels.items()})
    assert len(keys) == sum(map(len, labels.values()))
    assert len(set(keys.values())) == len(keys)
    assert all(len(key) <= MAX_KEY for key in keys.values())


def test_a_choice_of_thousands_keeps_its_label() -> None:
    keys = short_keys({"long_label_of_values": map(str, range(100_000, 103_000))})
    assert len(set(keys.values())) == 3_000
    assert {key.partition(" ")[0] for key in keys.values()} == {"lon.ues"}
