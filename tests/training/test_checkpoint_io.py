"""A checkpoint is replaced as a whole or not at all."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from nni_darts.training.checkpoint_io import AtomicCheckpointIO

SMALL = {"weights": torch.arange(10.0)}


class Recipe(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(4, 2)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.network(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "last[1].ckpt"
    io = AtomicCheckpointIO()
    for factor in (1, 2):
        io.save_checkpoint({"weights": factor * SMALL["weights"]}, path)
        content = io.load_checkpoint(path, weights_only=True)
        assert torch.equal(content["weights"], factor * SMALL["weights"])
        assert os.listdir(path.parent) == [path.name]
    # As any new file, not as a temporary one, which nobody else may read.
    (tmp_path / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_the_checkpoint_before_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    io = AtomicCheckpointIO({"last.ckpt": "previous.ckpt"})
    for factor in (1, 2, 3):
        for name in ("last.ckpt", "best.ckpt"):
            io.save_checkpoint({"weights": factor * SMALL["weights"]}, tmp_path / name)
    kept = {path.name: torch.load(path)["weights"][1] for path in tmp_path.iterdir()}
    assert kept == {"last.ckpt": 3.0, "best.ckpt": 3.0, "previous.ckpt": 2.0}


def test_a_training_writes_through_it(tmp_path: Path) -> None:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        default_root_dir=tmp_path,
        logger=False,
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)
    data = DataLoader(TensorDataset(torch.randn(8, 4)), batch_size=4)
    module = Recipe()
    trainer.fit(module, data)
    (path,) = tmp_path.rglob("*.ckpt")
    assert list(path.parent.iterdir()) == [path]
    state = torch.load(path, weights_only=True)["state_dict"]
    assert torch.equal(state["network.weight"], module.network.weight)


def test_other_file_systems_are_written_in_lightnings_way(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint(SMALL, "memory://folder/last.ckpt")
    with fsspec.open("memory://folder/last.ckpt", "rb") as file:
        assert torch.equal(torch.load(file)["weights"], SMALL["weights"])
    with pytest.raises(TypeError, match="storage_options"):
        AtomicCheckpointIO().save_checkpoint(SMALL, tmp_path / "last.ckpt", {"a": 1})
    assert not list(tmp_path.iterdir())


# When it fails

FULL = """
import resource, sys, torch
from nni_darts.training.checkpoint_io import AtomicCheckpointIO
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(100_000)}, sys.argv[1])
except OSError as error:
    print(error)
    raise SystemExit(3)
"""


@pytest.mark.parametrize("exists", [True, False])
def test_a_full_disk_leaves_the_checkpoint_before(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    if exists:
        AtomicCheckpointIO().save_checkpoint(SMALL, path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL, path], capture_output=True, text=True
    )
    assert run.returncode == 3, run.stderr
    said = "the checkpoint before it is whole" if exists else "there is none before it"
    assert run.stdout == (
        f"[Errno 27] cannot write the checkpoint {path} (File too large); {said}: make room (or "
        "put right what the system says) and run again\n"
    )
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_folder_in_the_way(tmp_path: Path, message: Any) -> None:
    (tmp_path / "last.ckpt").mkdir()
    (tmp_path / "file").touch()
    io = AtomicCheckpointIO()
    text = message(IsADirectoryError, io.save_checkpoint, SMALL, tmp_path / "last.ckpt")
    assert f"cannot write the checkpoint {tmp_path / 'last.ckpt'} (Is a directory)" in text
    message(FileExistsError, io.save_checkpoint, SMALL, tmp_path / "file" / "last.ckpt")
    assert sorted(os.listdir(tmp_path)) == ["file", "last.ckpt"]


def test_what_cannot_be_pickled(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(SMALL, path)
    before = path.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        AtomicCheckpointIO().save_checkpoint({"f": lambda: 0}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


SLOW = """
import os, sys, time, torch
from nni_darts.training.checkpoint_io import AtomicCheckpointIO

def hang(descriptor):  # all is written, but not yet known to be on the disk
    print("written", flush=True)
    time.sleep(60)

os.fsync = hang
AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(100_000)}, sys.argv[1])
"""


def test_a_kill_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint(SMALL, path)
    before = path.read_bytes()
    command = [sys.executable, "-W", "ignore", "-c", SLOW, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == before
    assert len(os.listdir(tmp_path)) == 2
    io.save_checkpoint(SMALL, path)
    assert os.listdir(tmp_path) == [path.name]


def test_a_reader_meets_whole_checkpoints_only(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    code = (
        "import sys, torch; from nni_darts.training.checkpoint_io import AtomicCheckpointIO as IO\n"
        "for i in range(60): IO().save_checkpoint({'w': torch.full((200_000,), i)}, sys.argv[1])"
    )
    seen = set()
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, path]) as process:
        while process.poll() is None:
            if path.exists():
                (value,) = torch.load(path)["w"].unique().tolist()
                seen.add(value)
            time.sleep(0.001)
    assert process.returncode == 0
    assert len(seen) > 1
