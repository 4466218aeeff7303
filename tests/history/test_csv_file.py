from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nni_darts._common.metric import ACCURACY
from nni_darts.history.csv_file import History, read
from nni_darts.history.flat import to_flat
from nni_darts.history.record import EpochRecord
from nni_darts.training.run_folder import RunFolder


def trained(epoch: int, accuracy: float) -> EpochRecord:
    return EpochRecord.of_training(epoch, ACCURACY, {"val_acc": accuracy})


def test_epochs_that_run_again_are_written_once(tmp_path: Path) -> None:
    history = History(RunFolder.at(tmp_path))
    assert history.records() == []
    for epoch, value in [(0, 0.1), (1, 0.2), (2, 0.3), (1, 0.4)]:
        history.add(trained(epoch, value))
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["epoch"].tolist() == [0, 1]
    assert table["default"].tolist() == [0.1, 0.4]
    assert [(r.epoch, r.default) for r in history.records()] == [(0, 0.1), (1, 0.4)]
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(
    "content", ["", "epoch,default\nx,1\n", "a\n1\n", "\0\0", "\udc80", 'epoch,default\n1,"2']
)
def test_a_damaged_history_is_put_aside(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    history = History(RunFolder.at(tmp_path))
    assert history.records() == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        f"{path} is damaged: it is put aside as history.csv.damaged; what it told of earlier "
        "epochs is lost"
    )
    history.add(trained(3, 0.5))
    assert [(r.epoch, r.default) for r in history.records()] == [(3, 0.5)]


def previous(member: str) -> bytes:
    """A history.csv that the version before the record wrote."""
    with tarfile.open(Path(__file__).parents[1] / "previous" / "ended.tar.xz") as archive:
        (name,) = [n for n in archive.getnames() if n.endswith(f"{member}/history.csv")]
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def test_a_search_of_the_previous_version_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(previous("search-0"))
    records = read(path)
    assert {kind: len(edges) for kind, edges in records[-1].cells.items()} == {
        "normal": 5,
        "reduce": 5,
    }
    table = pd.read_csv(io.BytesIO(previous("search-0")))
    assert [record.validation for record in records] == table["default"].tolist()
    again = pd.DataFrame([to_flat(record) for record in records])
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    # Its rows stay what they are when the run goes on.
    History(RunFolder.at(tmp_path)).add(replace(records[-1], epoch=len(records)))
    before = previous("search-0").splitlines()
    assert path.read_bytes().splitlines()[: len(before)] == before
