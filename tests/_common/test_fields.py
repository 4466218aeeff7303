from __future__ import annotations

import math
from typing import Any

import pytest

from nni_darts._common import fields, limits
from nni_darts._common.validation import Frozen, SettingsError, validated


class Given(Frozen):
    """A setting of every kind."""

    rate: fields.Positive = 1.0
    decay: fields.NotNegative = 0.0
    share: fields.Share = 0.0
    flag: fields.Flag = False
    text: fields.Text = ""
    folder: fields.Folder = "x"
    seed: fields.Seed = 0
    seeds: fields.Seeds = (0,)
    epochs: fields.Epochs = 1
    warmup: fields.Warmup = 0
    channels: fields.Channels = 2
    cells: fields.Cells = 3
    genotypes: fields.Genotypes = ()


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("rate", "3e-4", 3e-4),
        ("decay", "+1E0", 1.0),
        ("share", 0.999, 0.999),
        ("flag", True, True),
        ("folder", "é" * 2047, "é" * 2047),
        ("seed", limits.SEED, limits.SEED),
        ("seeds", [5, 2], (5, 2)),
        ("epochs", limits.EPOCHS, limits.EPOCHS),
        ("warmup", 0, 0),
        ("channels", limits.CHANNELS, limits.CHANNELS),
        ("cells", 3, 3),
    ],
)
def test_up_to_the_bounds(name: str, value: Any, taken: Any) -> None:
    assert getattr(validated(Given, {name: value}), name) == taken


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rate", 0, "input should be greater than 0, got 0"),
        ("rate", "0.5", "input should be a valid number, got '0.5'"),
        ("rate", "１e3", "input should be a valid number, got '１e3'"),
        ("rate", True, "input should be a valid number, got True"),
        ("rate", math.nan, "input should be a finite number, got nan"),
        ("rate", "1e999", "input should be a finite number, got inf"),
        ("decay", -1, "input should be greater than or equal to 0, got -1"),
        ("share", 1, "input should be less than 1, got 1"),
        ("flag", 1, "input should be true or false, got 1"),
        ("flag", "yes", "input should be true or false, got 'yes'"),
        ("text", 3, "input should be a text, got 3"),
        ("folder", "", "must be a path of 1 to 4095 bytes, got ''"),
        ("folder", "a\0", r"must be a path of 1 to 4095 bytes, got 'a\x00'"),
        ("folder", "é" * 2048, f"must be a path of 1 to 4095 bytes, got '{'é' * 40}'"),
        ("seed", -1, "input should be greater than or equal to 0, got -1"),
        ("seed", 2**32, "input should be less than or equal to 4294967295, got 4294967296"),
        ("seed", "1", "input should be a valid integer, got '1'"),
        ("seed", 1.0, "input should be a valid integer, got 1.0"),
        ("seeds", [], "at least one seed is needed"),
        ("seeds", [1, 1], "the seeds must be distinct: a seed gives the same run again"),
        ("seeds", [*range(1001)], "input should have at most 1000 items, got 1001"),
        ("epochs", 0, "input should be greater than or equal to 1, got 0"),
        ("epochs", 10**6 + 1, "input should be less than or equal to 1000000, got 1000001"),
        ("warmup", -1, "input should be greater than or equal to 0, got -1"),
        ("channels", 3, "input should be a multiple of 2, got 3"),
        ("cells", 2, "input should be greater than or equal to 3, got 2"),
        ("genotypes", ["a"] * 1001, "input should have at most 1000 items, got 1001"),
    ],
)
def test_beyond_them(name: str, value: Any, expected: str, message: Any) -> None:
    assert message(SettingsError, validated, Given, {name: value}) == f"{name}: {expected}"
