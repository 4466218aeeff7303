from __future__ import annotations

import itertools

import numpy as np
import pytest

from nni_darts.genotypes.cell import OPERATIONS, PRIMITIVES, RNN_PRIMITIVES
from nni_darts.pictures.colours import DARK, LIGHT, colour_of, colours_among

# How eyes without one kind of cone see linear RGB: Machado, Oliveira, Fernandes (2009), severity 1.
EYES = {
    "all": np.eye(3),
    "no red": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no blue": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG 2: from 1 to 21; small text needs 4.5."""
    dark, light = sorted(float(linear(x) @ [0.2126, 0.7152, 0.0722]) for x in (a, b))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB: a distance of 2 can just be seen side by side."""
    to_xyz = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.0888]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("operation", [*OPERATIONS, "mine", "another", "a third", "x", "magic"])
def test_legible_as_small_text(operation: str) -> None:
    colour = colour_of(operation)
    assert contrast(colour.light, LIGHT) >= 4.5
    assert contrast(colour.dark, DARK) >= 4.5


@pytest.mark.parametrize("operations", [PRIMITIVES, RNN_PRIMITIVES])
@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_told_apart_by_all_eyes(operations: tuple[str, ...], eyes: str, page: str) -> None:
    seen = [lab(EYES[eyes] @ linear(getattr(colour_of(name), page))) for name in operations]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 12


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_candidates_of_a_choice_are_told_apart(eyes: str, page: str) -> None:
    colours = colours_among([f"candidate {i}" for i in range(9)])
    seen = [lab(EYES[eyes] @ linear(getattr(colour, page))) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 12


@pytest.mark.parametrize(
    "candidates",
    [
        [f"op{i}" for i in range(15)],
        [*PRIMITIVES, *"abcdef"],
        ["tanh", "sep_conv_3x3", "mine"],  # which have one colour elsewhere
        ["x", "skip_connect"],
    ],
)
def test_candidates_of_a_choice_have_colours_of_their_own(candidates: list[str]) -> None:
    colours = colours_among(candidates)
    assert len(set(colours)) == len(candidates)
    if "skip_connect" in candidates:
        assert colours[candidates.index("skip_connect")] == colour_of("skip_connect")


def test_more_candidates_than_colours_repeat_them() -> None:
    colours = colours_among([f"op{i}" for i in range(40)])
    assert len(colours) == 40
    assert len(set(colours)) == 15
