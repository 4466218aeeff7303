"""Imports point one way: what must start fast, or run where NNI is not, stays free of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PURE = [
    "pictures.animation",
    "_common.checks",
    "genotypes.cell",
    "pictures.cell_graph",
    "cli.parser",
    "pictures.cell_figure",
    "pictures.choice_figure",
    "history.choice_weights",
    "pictures.colours",
    "tasks.settings",
    "supernet.decisions",
    "genotypes.derivation",
    "pictures.graphviz",
    "_common.environment",
    "history.epoch",
    "experiment.nni_keys",
    "_common.fields",
    "_common.files",
    "genotypes.genotype",
    "genotypes.parser",
    "history.csv_file",
    "runs.argument_kinds",
    "pictures.layered_layout",
    "pictures.lettering",
    "_common.limits",
    "_common.messages",
    "pictures.drawing",
    "experiment.protocol",
    "genotypes.published",
    "_common.private_folder",
    "genotypes.random_cells",
    "genotypes.k_best",
    "_common.redaction",
    "tasks.images.settings",
    "history.edge_keys",
    "_common.signals",
    "tasks.base",
    "tasks.registry",
    "tasks.language.settings",
    "pictures.search_figure",
    "experiment.nni_database",
    "experiment.rows",
    "training.run_folder",
    "experiment.ledger",
    "_common.yaml_file",
]
WITHOUT_NNI = [
    "search.hypergradient",
    "search.virtual_step",
    "training.checkpoint",
    "training.network_size",
    "search.random_state",
    "supernet.nodes",
    "search.loader",
    "training.bounded",
    "tasks.images.augmentation",
    "tasks.images.sources",
    "tasks.images.data_sets",
    "tasks.images.batches",
    "tasks.images.data",
    "tasks.images.training_data",
    "training.devices",
    "supernet.fused.depthwise",
    "supernet.fused.layout",
    "supernet.fused.kinds",
    "tasks.images.device_batches",
    "training.finite_losses",
    "search.cuda_graph",
    "search.side_effects",
    "training.precision",
    "tasks.language.losses",
    "tasks.language.streams",
    "tasks.language.vocabulary",
    "tasks.language.data",
    "tasks.language.sources",
    "tasks.language.training_module",
    "tasks.images.image_check",
    "training.trainer_options",
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
        "search_spaces.places",
        "search_spaces.activations",
        "search_spaces.darts_network",
        "search_spaces.darts_rnn_network",
    ],
)
def test_no_nni(module: str) -> None:
    assert "nni" not in loaded_by(module)


@pytest.mark.parametrize(
    "name", ["genotypes.genotype", "genotypes.published", "genotypes.random_cells"]
)
def test_a_genotype_needs_no_numpy(name: str) -> None:
    assert "numpy" not in loaded_by(f"nni_darts.{name}")


@pytest.mark.parametrize(
    "module",
    [
        "nni_darts.training.checkpoint",
        "search_spaces.darts_network",
        "search_spaces.darts_rnn_network",
    ],
)
def test_a_network_needs_torch_alone(module: str) -> None:
    # torch itself may import numpy; tests/training/test_checkpoint.py does without it.
    foreign = {"nni", "pydantic", "pandas", "pytorch_lightning", "torchmetrics", "torchvision"}
    assert loaded_by(module).isdisjoint(foreign)


def test_the_tuner_starts_without_torch() -> None:
    # NNI ends the experiment when the tuner has not connected after ten seconds.
    assert loaded_by("nni_darts.tuner").isdisjoint({"torch", "pytorch_lightning"})
