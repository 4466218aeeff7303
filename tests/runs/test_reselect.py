from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nni_darts._common.validation import SettingsError
from nni_darts.runs.reselect import of_checkpoint
from nni_darts.runs.stages import search
from nni_darts.tasks.registry import parse_run
from nni_darts.tasks.settings import Run

SPACE = {
    "name": "DartsCNN",
    "channels": 4,
    "num_cells": 3,
    "num_nodes": 1,
    "primitives": ["none", "skip_connect"],
}


def run() -> Run:
    both: dict[str, Any] = {"seeds": [0], "epochs": 1, "batch_size": 512}
    settings = {**both, "hypergradient": "first_order", "top_k": 1}
    data = {"name": "digits"}
    return parse_run(
        {"stage": "search", "seed": 0, "space": SPACE, "data": data, "search": settings}
    )


def test_the_run_of_a_checkpoint_with_another_selection(tmp_path: Path) -> None:
    search(run(), tmp_path, lambda report: None)
    found, begin = of_checkpoint(tmp_path / "last.ckpt", {"selection": "subnets"})
    assert found.search is not None
    assert found.search.selection == "subnets"
    assert found.model_copy(update={"search": run().search}) == run()
    assert begin.address == str(tmp_path / "last.ckpt")
    assert begin.history == (tmp_path / "history.csv").read_text()
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    torch.save({**content, "epoch": -1}, tmp_path / "early.ckpt")
    with pytest.raises(SettingsError, match="its search has done 0 of 1 epochs"):
        of_checkpoint(tmp_path / "early.ckpt", {})


def test_what_is_no_checkpoint_of_a_search(tmp_path: Path) -> None:
    for name, content in {"a": {"state_dict": {}}, "b": [1]}.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(SettingsError, match="is no checkpoint of a search"):
            of_checkpoint(tmp_path / name, {})
