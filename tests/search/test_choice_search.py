"""What real searches of spaces with choices of any sort leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nni_darts.cli.main import main
from nni_darts.history import csv_file
from nni_darts.history.flat import from_flat
from nni_darts.history.gaps import gaps
from nni_darts.pictures.animation import frames_of
from nni_darts.pictures.drawing import figure_of_history
from nni_darts.runs.stages import search
from nni_darts.tasks.registry import parse_run

CHOICES = {
    "mid_width": ["2", "4", "8"],
    "encoder_stage1_block_operation": [
        "conv3x3_relu",
        "conv5x5_relu",
        "max_pool_3x3",
        "skip_connect",
    ],
    "encoder_stage2_block_operation": [
        "conv3x3_relu",
        "conv5x5_relu",
        "max_pool_3x3",
        "skip_connect",
    ],
    "skip <b>or not, for $5 or $6": ["0", "1"],
    "depth": ["1", "2", "3"],
}


def searched(space: str, folder: Path, epochs: int) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    run = {
        "stage": "search",
        "seed": 0,
        "space": {"name": f"choice_spaces.{space}"},
        "data": {"name": "digits"},
        "search": {"seeds": [0], "epochs": epochs, "batch_size": 256, "top_k": 1},
    }
    search(parse_run(run), folder, sent.append)
    return sent


def pictures(folder: Path) -> list[str]:
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return sorted(found.Tags()["images"])


def test_a_space_without_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = searched("ChoiceSpace", tmp_path, 2)
    stored = csv_file.read(tmp_path / "history.csv")
    heard = [from_flat(report) for report in sent]
    for told in (heard, stored):
        assert [{k: list(v) for k, v in r.choices.items()} for r in told] == [CHOICES] * 2
        assert told[0].choices != told[1].choices
    assert stored[1].choices["depth"] == pytest.approx(heard[1].choices["depth"])
    assert gaps(stored) == []
    titles = {text.get_text() for text in figure_of_history(stored).axes[-1].texts}
    assert CHOICES.keys() <= titles
    assert pictures(tmp_path) == ["choices"]
    capsys.readouterr()
    history = str(tmp_path / "history.csv")
    for command, output in (("plot", "alphas.pdf"), ("animate", "search.gif")):
        assert main([command, history, "-o", str(tmp_path / output)]) == 0
        assert capsys.readouterr() == (f"written to {tmp_path / output}: 2 epochs\n", "")


@pytest.mark.slow
def test_a_space_of_cells_and_another_choice(tmp_path: Path) -> None:
    (report,) = searched("CellsAndChoices", tmp_path, 1)
    record = from_flat(report)
    assert list(record.choices) == ["the_first_kernel"]
    (frame,) = frames_of([record])
    assert [cell.kind for cell in frame.cells] == ["normal", "reduce"]
    assert pictures(tmp_path) == ["alphas", "cells", "choices"]
    figure = figure_of_history([record])
    assert len(figure.axes) == 3 + 2 * 5 + 1
