from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nni_darts.runs.trainer import trainer
from nni_darts.tasks.images.settings import ImageTraining
from nni_darts.training.run_folder import BEST


def test_a_folder_that_was_moved_still_knows_its_best_epoch(tmp_path: Path) -> None:
    def best(folder: str) -> Any:
        settings = ImageTraining(epochs=3)
        made = trainer(settings, tmp_path / folder, [torch.device("cpu")], True, [], False)
        (found,) = (c for c in made.checkpoint_callbacks if c.monitor)
        return found

    def known(folder: str) -> dict[str, Any]:
        path = str(tmp_path / folder / BEST)
        score = torch.tensor(0.5)
        return {
            "dirpath": str(tmp_path / folder),
            "monitor": "val_acc",
            "best_model_score": score,
            "best_model_path": path,
            "current_score": None,
            "best_k_models": {path: score},
            "kth_best_model_path": path,
            "kth_value": score,
            "last_model_path": "",
        }

    there = best("there")
    there.load_state_dict(known("here"))
    assert there.state_dict() == known("there")
