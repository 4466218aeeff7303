"""Experiments that the version before the rooms stored: they load, export and resume."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch
from live import ROOT, Shell, free_port, status, until

from nni_darts import Genotype, load

HERE = Path(__file__).parent
MADE_IN = "/work/main"
"""The checkout in which the archives were made."""


def unpack(name: str, home: Path) -> Path:
    """Put an archive into a home folder, as if it had been made there; the experiment's folder."""
    with tarfile.open(HERE / f"{name}.tar.xz") as tar:
        # Python before 3.11.4 has no filters.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(home)
    experiments = home / "nni-experiments"
    places = {json.loads((experiments / "home.json").read_text()): str(home), MADE_IN: str(ROOT)}
    record = experiments / ".experiment"
    text = record.read_text()
    for old, new in places.items():
        text = text.replace(old, new)
    record.write_text(text)
    (id_,) = json.loads(text)
    with closing(sqlite3.connect(experiments / id_ / "db" / "nni.sqlite")) as db, db:
        for (table,) in db.execute("select name from sqlite_master where type='table'").fetchall():
            for _, column, *_ in db.execute(f"pragma table_info({table})").fetchall():
                for old, new in places.items():
                    db.execute(
                        f"update {table} set {column} = replace({column}, ?, ?) "
                        f"where typeof({column}) = 'text'",
                        [old, new],
                    )
    return experiments / id_


def test_an_ended_experiment(home: Path) -> None:
    folder = unpack("ended", home)
    shell = Shell(home)
    exported = shell("nni-darts", "export", folder.name, "--format", "json")
    assert exported.returncode == 0, exported.stderr
    rows = json.loads(exported.stdout)
    stored = pd.read_csv(folder / "results.csv")
    assert [row["stage"] for row in rows] == ["evaluate", "search", "search"]
    evaluated = stored[stored["stage"] == "evaluate"].iloc[0]
    assert rows[0]["test_acc"] == pytest.approx(evaluated["test_acc"], abs=1e-12)
    reported = shell("nni-darts", "report", folder.name, "-o", str(home / "report.html"))
    assert reported.returncode == 0, reported.stderr

    (run,) = (folder / "environments/local-env/runs").glob("evaluate-*")
    network = load(run / "best.ckpt")
    assert sum(p.numel() for p in network.parameters()) == evaluated["params"]
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    tested = shell("nni-darts", "evaluate", str(run / "best.ckpt"), "--data", "digits")
    assert tested.returncode == 0, tested.stderr
    assert f"test accuracy {evaluated['test_acc']:.2%}" in tested.stdout

    search = folder / "environments/local-env/runs/search-0"
    plotted = shell("nni-darts", "plot", str(search / "history.csv"), "-o", str(home / "a.png"))
    assert plotted.returncode == 0, plotted.stderr
    genotypes = json.loads((search / "genotypes.json").read_text())
    for entry in genotypes:
        assert json.loads(Genotype.parse(json.dumps(entry["genotype"])).to_json())


@pytest.mark.slow
@pytest.mark.manager
def test_a_stopped_experiment_is_resumed(home: Path) -> None:
    folder = unpack("stopped", home)
    history = folder / "environments/local-env/runs/search-0/history.csv"
    before = history.read_text().splitlines()
    shell, port = Shell(home), free_port()
    resumed = shell("nnictl", "resume", folder.name, "--port", port)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    try:
        until(lambda: status(port) in ("DONE", "ERROR"), 900)
        assert status(port) == "DONE"
    finally:
        shell("nnictl", "stop", "--all")
    after = history.read_text().splitlines()
    assert after[: len(before)] == before  # not begun anew
    assert len(after) == 1 + 30
    exported = shell("nni-darts", "export", folder.name, "--format", "json")
    assert [row["stage"] for row in json.loads(exported.stdout)] == ["search"] * 3
