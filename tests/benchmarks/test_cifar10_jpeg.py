"""A published cell learns real images."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACK = ROOT.parent / "shared/data/cifar10_jpegpack_10k2k.npz"


@pytest.mark.slow
@pytest.mark.skipif(not PACK.exists(), reason="needs ../shared/data: CIFAR-10 (JPEG)")
def test_darts_v2_beats_a_linear_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR10_JPEG", str(PACK))
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    from cifar10_jpeg import linear_accuracy, network_accuracy

    # Two epochs instead of the five of the README, for the sake of time.
    found = network_accuracy(epochs=2, channels=8, num_cells=8)
    assert found["test_acc"] > linear_accuracy() + 0.03
