"""Imports point one way: what must start fast, or run where NNI is not, stays free of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PURE = [
    "cell",
    "config",
    "files",
    "genotype",
    "genotype_text",
    "messages",
    "protocol",
    "ranking",
    "stored",
]
WITHOUT_NNI = [
    "architect",
    "randomness",
    "node",
    "bilevel",
    "augmentation",
    "data_sets",
    "data",
    "device",
]


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("module", ["nni_darts", *(f"nni_darts.{name}" for name in PURE)])
def test_neither_torch_nor_nni(module: str) -> None:
    assert loaded_by(module).isdisjoint({"torch", "nni", "pytorch_lightning"})


@pytest.mark.parametrize(
    "module",
    [
        *(f"nni_darts.{name}" for name in WITHOUT_NNI),
        "search_spaces",
        "search_spaces.operations",
        "search_spaces.darts_network",
    ],
)
def test_no_nni(module: str) -> None:
    assert "nni" not in loaded_by(module)


def test_a_network_needs_no_lightning() -> None:
    assert "pytorch_lightning" not in loaded_by("search_spaces.darts_network")


def test_the_tuner_starts_without_torch() -> None:
    # NNI ends the experiment when the tuner has not connected after ten seconds.
    assert loaded_by("nni_darts.tuner").isdisjoint({"torch", "pytorch_lightning"})
