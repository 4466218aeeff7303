from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from run_folders import IDENTITY, OTHER

from nni_darts._common.files import DamagedError
from nni_darts._common.metric import ACCURACY
from nni_darts._common.validation import SettingsError
from nni_darts.history.csv_file import History
from nni_darts.history.record import HISTORY, EpochRecord
from nni_darts.runs.reporter import write_genotypes
from nni_darts.training.run_folder import RESULT, RunFolder
from nni_darts.training.trainer_options import go_on


def test_a_new_folder(run: RunFolder) -> None:
    assert run.unwritable() is None
    assert run.store.names() == []
    assert run.result(IDENTITY) is None
    assert run.epochs_done() == 0
    assert History(run).records() == []
    assert go_on(run, IDENTITY) == {}
    run.make()
    assert run.store.names() == []


def test_a_file_is_replaced_read_and_put_aside(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run.make()
    for text in ("one", "zwei ä"):
        run.replace("a", text)
        assert run.exists("a")
        assert run.read("a").decode("utf-8") == text
    assert run.store.names() == ["a"]
    with pytest.raises(DamagedError, match="larger than the 6 bytes"):
        run.read("a", 6)
    assert len(run.read("a", 7)) == 7
    run.store.replace("a", b"three", keep="b")
    assert (run.read("a"), run.read("b").decode("utf-8")) == (b"three", "zwei ä")
    run.put_aside("a", "is damaged", "so be it")
    assert capsys.readouterr().out == (
        f"{run.address('a')} is damaged: it is put aside as a.damaged; so be it\n"
    )
    assert run.store.names() == ["a.damaged", "b"]
    with pytest.raises(FileNotFoundError):
        run.read("a")


def test_the_result_is_the_runs_own(run: RunFolder, message: Any) -> None:
    run.make()
    run.keep_result(IDENTITY, {"default": 0.5})
    assert run.result(IDENTITY) == {"default": 0.5}
    text = message(SettingsError, run.result, OTHER)
    assert text.startswith(f"{run.address(RESULT)} is the result of another run (search-0, ")
    assert run.store.names() == [RESULT]


def test_a_damaged_result_is_put_aside(run: RunFolder) -> None:
    run.make()
    run.replace(RESULT, "{")
    assert run.result(IDENTITY) is None
    assert run.store.names() == [f"{RESULT}.damaged"]


def test_where_a_run_is(run: RunFolder) -> None:
    run.make()
    assert run.where(3) == "in epoch 1 of 3"
    run.replace(HISTORY, "default,epoch\n0.5,0\n0.6,1\n")
    assert run.where(3) == "in epoch 3 of 3"
    assert run.where(2) == "after its 2 epochs"
    run.replace(HISTORY, "default\n0.5\n")
    assert run.where(3) == "in an unknown epoch"


def test_what_a_search_keeps(run: RunFolder) -> None:
    run.make()
    for epoch in (0, 1, 0):
        History(run).add(EpochRecord.of_training(epoch, ACCURACY, {"val_acc": 0.5}))
    write_genotypes(run, 1, [(-1.0, "{}")])
    assert run.epochs_done() == 1
    assert run.store.names() == ["genotypes.json", HISTORY]


def test_one_process_works_in_it_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, order = RunFolder.at(tmp_path), []

    def wait() -> None:
        with RunFolder.at(tmp_path).alone():
            order.append("second")

    with run.alone():
        second = threading.Thread(target=wait)
        second.start()
        second.join(0.3)
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]
    assert capsys.readouterr().out == f"waiting for another process to leave {tmp_path}\n"
