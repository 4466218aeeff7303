"""What the tests of a run's folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from run_folders import MemoryFolder

from nni_darts.training.run_folder import RunFolder


@pytest.fixture(params=["local", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunFolder]:
    """The folder of a run, on a disk and behind a URL; it need not exist yet."""
    if request.param == "local":
        yield RunFolder.at(tmp_path / "run")
        return
    store = MemoryFolder("memory://runs/search-0")
    yield RunFolder(store)
    store.system.rm("/runs", recursive=True)
