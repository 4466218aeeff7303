from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from histories import records, reports
from PIL import Image

from nni_darts.cli.main import main
from nni_darts.experiment import nni_database
from nni_darts.pictures.animation import frames_of


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that a command prints when it refuses what it was given."""

    def call(*arguments: str) -> str:
        assert main(arguments) == 2
        printed = capsys.readouterr()
        (line,) = printed.err.splitlines()
        assert printed.out == ""
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    return call


def written(path: Path, made: list[dict[str, Any]]) -> str:
    pd.DataFrame(made).to_csv(path, index=False)
    return str(path)


# draw


def test_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cell.svg"
    assert main(["draw", "DARTS_V2", "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"written to {path}\n"
    assert "normal-5-2-dil_conv_3x3" in path.read_text()


def test_draw_refuses(tmp_path: Path, failing: Callable[..., str]) -> None:
    output = str(tmp_path / "cell.svg")
    assert "did you mean 'DARTS_V2'" in failing("draw", "DART_V2", "-o", output)
    assert "must end in one of" in failing("draw", "DARTS_V2", "-o", str(tmp_path / "cell.jpg"))
    (tmp_path / "bad").write_text("{")
    assert "bad" in failing("draw", str(tmp_path / "bad"), "-o", output)
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


# plot


def test_plot_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = reports(4, primitives=["none", "skip_connect", "magic"])
    history = written(tmp_path / "history.csv", [made[0], made[3]])
    output = tmp_path / "alphas.png"
    assert main(["plot", history, "-o", str(output)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"written to {output}: 2 epochs\n"
    assert printed.err.splitlines() == [
        "note: no report of epochs 2-3",
        "note: unknown operations keep their short names: magic",
    ]
    with Image.open(output) as image:
        image.verify()


def test_an_epoch_that_stands_there_twice_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = reports(2)
    history = written(tmp_path / "history.csv", [*made, made[1]])
    assert main(["plot", history, "-o", str(tmp_path / "a.svg")]) == 0
    assert capsys.readouterr().out.endswith(": 2 epochs\n")


@pytest.mark.parametrize("command", [["plot", "x.svg"], ["animate", "x.gif"]])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is not a table"),
        (b"\x00\xff\xfe\x90", "is not a table"),
        (b'{"not": "a table"}', "has no epochs"),
        (b"a,b\n1,2\n1,2,3,4\n", "is not a table"),
        (b"a,b\n1,2\n", "has no epochs"),
        (b"epoch,n2<0 skip\n-1,0.5\n1e99,0.5\nx,0.5\n", "has no epochs"),
        (b"default,epoch,seed\n0.5,0,1\n", "has no weights of edges"),
        (b"epoch,n2<0 skip\n0,9\n", "has no weights of edges"),
    ],
)
def test_foreign_files(
    command: list[str],
    content: bytes,
    expected: str,
    tmp_path: Path,
    failing: Callable[..., str],
) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    line = failing(command[0], str(path), "-o", str(tmp_path / command[1]))
    assert line.startswith(str(path))
    assert expected in line
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file(tmp_path: Path, failing: Callable[..., str]) -> None:
    output = str(tmp_path / "x.svg")
    assert "is a folder" in failing("plot", str(tmp_path), "-o", output)
    assert "no such file" in failing("plot", str(tmp_path / "no.csv"), "-o", output)
    assert "not a regular file" in failing("plot", "/dev/null", "-o", output)
    assert list(tmp_path.iterdir()) == []


# animate


def test_animate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = written(tmp_path / "history.csv", reports(3))
    output = tmp_path / "search.gif"
    assert main(["animate", history, "-o", str(output)]) == 0
    assert capsys.readouterr() == (f"written to {output}: 3 epochs\n", "")
    with Image.open(output) as image:
        assert image.n_frames == 3
        assert image.info["loop"] == 0
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert output.stat().st_size < 3 * 40_000  # 50 epochs have to stay below 2 MB


def test_animate_refuses_other_formats(tmp_path: Path, failing: Callable[..., str]) -> None:
    history = written(tmp_path / "history.csv", reports(1))
    line = failing("animate", history, "-o", str(tmp_path / "search.png"))
    assert "must end in one of .gif" in line


def test_epochs_whose_cells_are_not_whole_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = reports(4)
    # Epoch 2 lacks a whole node, epoch 3 the reduction cell.
    made[1] = {k: v for k, v in made[1].items() if not k.startswith("n5")}
    made[2] = {k: v for k, v in made[2].items() if not k.startswith("r")}
    history = written(tmp_path / "history.csv", made)
    assert [frame.epoch for frame in frames_of(records(made))] == [0, 3]
    assert main(["animate", history, "-o", str(tmp_path / "x.gif")]) == 0
    printed = capsys.readouterr()
    assert printed.err == "note: weights are missing in epochs 2-3\n"
    assert printed.out.endswith(": 2 epochs\n")


# Trials of an experiment


def stored_experiment(home: Path, id_: str, start: int, trials: dict[str, Any]) -> None:
    """An experiment as NNI stores it, of trials by their ids: their keys and reports."""
    folder = home / "nni-experiments"
    database = folder / id_ / "db" / "nni.sqlite"
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("create table ExperimentProfile (params, revision)")
        connection.execute("create table TrialJobEvent (trialJobId, event, timestamp)")
        connection.execute("create table MetricData (trialJobId, type, data, timestamp)")
        config = json.dumps({"tuner": {"className": nni_database.TUNER}})
        connection.execute("insert into ExperimentProfile values (?, 1)", [config])
        for trial, (key, made) in trials.items():
            event = [trial, "SUCCEEDED", start]
            connection.execute("insert into TrialJobEvent values (?, ?, ?)", event)
            for report in made:
                data = json.dumps(json.dumps({**report, "key": key}))
                row = [trial, "PERIODICAL", data, start]
                connection.execute("insert into MetricData values (?, ?, ?, ?)", row)
    record = folder / ".experiment"
    known = json.loads(record.read_text()) if record.exists() else {}
    known[id_] = {"id": id_, "startTime": start, "logDir": str(folder)}
    record.write_text(json.dumps(known))


def test_animate_a_trial_or_a_run(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failing: Callable[..., str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    trained = [{"epoch": 0, "default": 0.5}]
    stored_experiment(tmp_path, "older", 1, {"abcde": ("search-0", reports(1))})
    stored_experiment(
        tmp_path,
        "newer",
        2,
        {"fghij": ("search-0", reports(2)), "klmno": ("evaluate-0", trained)},
    )
    for name, epochs in (("abcde", "1 epoch"), ("fghij", "2 epochs"), ("search-0", "2 epochs")):
        output = tmp_path / f"{name}.gif"
        assert main(["animate", name, "-o", str(output)]) == 0
        assert capsys.readouterr().out == f"written to {output}: {epochs}\n"
    output = tmp_path / "x.gif"
    assert failing("animate", "klmno", "-o", str(output)) == (
        "trial klmno (evaluate-0) has not reported weights of edges; only searches for cells do, "
        "after each epoch"
    )
    assert failing("animate", "search-7", "-o", str(output)) == (
        "'search-7' is neither a file nor a trial of an experiment of nni-darts on this machine; "
        "searches of the latest one: search-0 (trial fghij)"
    )
    assert not output.exists()
