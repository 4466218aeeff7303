from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nni.assessor import AssessResult
from searches import Report, reports, trained

from nni_darts import assessor
from nni_darts._common import files
from nni_darts._common.validation import SettingsError
from nni_darts.assessor import AlphaMonitor
from nni_darts.experiment import nni_manager
from nni_darts.experiment.nni_database import Experiment
from nni_darts.history.cells import derived, skips
from nni_darts.history.flat import from_flat
from nni_darts.monitor.page_data import Epoch, Search
from nni_darts.tasks.settings import Search as SearchSettings

GOOD, BAD = AssessResult.Good, AssessResult.Bad
COLLAPSE = {"drift": 0.15}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log folder of an experiment."""
    folder = tmp_path / "exp1" / "log"
    folder.mkdir(parents=True)
    monkeypatch.setenv("NNI_LOG_DIRECTORY", str(folder))
    monkeypatch.delenv("NNI_TUNER_COMMAND_CHANNEL", raising=False)
    return folder


def play(monitor: AlphaMonitor, trial: str, made: list[Report]) -> list[AssessResult]:
    """As NNI does: the whole list after every report."""
    return [monitor.assess_trial(trial, made[: i + 1]) for i in range(len(made))]


def index(log: Path) -> list[dict[str, Any]]:
    return json.loads((log / "alphas/index.json").read_text())["searches"]


def data(log: Path, key: str = "search-0") -> dict[str, Any]:
    return json.loads((log / f"alphas/{key}.json").read_text())


def numbers(log: Path, key: str = "search-0") -> list[int]:
    return [epoch[0] for epoch in data(log, key)["epochs"]]


# Verdicts


@pytest.mark.parametrize(
    ("class_args", "expected"),
    [
        ({"on_colapse": "stop"}, "on_colapse: unknown key 'on_colapse'; did you mean 'on_collap"),
        ({"on_collapse": "kill"}, "on_collapse: input should be 'warn' or 'stop', got 'kill'"),
        ({"epochs": 0}, "epochs: input should be greater than or equal to 1, got 0"),
    ],
)
def test_wrong_class_args(
    class_args: dict[str, Any], expected: str, log: Path, message: Callable[..., str]
) -> None:
    assert expected in message(SettingsError, AlphaMonitor, **class_args)


def test_a_planted_collapse_is_stopped(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = AlphaMonitor(on_collapse="stop")
    made = reports(20, **COLLAPSE)
    results = play(monitor, "a", made)
    counts = [skips(derived(from_flat(report))) for report in made]
    first = next(i for i in range(20) if min(counts[max(0, i - 2) : i + 1]) > 2 and i >= 2)
    assert results == [GOOD] * first + [BAD] * (20 - first)
    verdict = data(log)["verdict"]
    assert verdict["epoch"] == first
    assert verdict["stopped"]
    assert f"collapsed after epoch {first + 1}: {counts[first]} skip conn" in verdict["text"]
    printed = capsys.readouterr().out
    assert f"search-0 {verdict['text']} (it is stopped)" in printed
    assert printed.count("collapsed") == 1
    monitor.trial_end("a", False)
    assert index(log) == [
        {"key": "search-0", "seed": 0, "trial": "a", "status": "stopped", "collapsed": True}
    ]


def test_a_collapse_is_told_of_by_default(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = AlphaMonitor()
    assert set(play(monitor, "a", reports(20, **COLLAPSE))) == {GOOD}
    assert not data(log)["verdict"]["stopped"]
    assert capsys.readouterr().out.count("(on_collapse: warn)") == 1
    monitor.trial_end("a", True)
    assert index(log)[0]["status"] == "succeeded"


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_search_is_not_stopped(log: Path, seed: int) -> None:
    monitor = AlphaMonitor(on_collapse="stop", min_entropy=0.05)
    assert set(play(monitor, "a", reports(30, seed))) == {GOOD}
    assert data(log, f"search-{seed}")["verdict"] is None


def test_entropy_below_the_bound(log: Path) -> None:
    made = reports(12)
    bound = (made[6]["entropy"] + made[7]["entropy"]) / 2
    results = play(AlphaMonitor(on_collapse="stop", min_entropy=bound), "a", made)
    assert results == [GOOD] * 7 + [BAD] * 5
    assert "mean entropy" in data(log)["verdict"]["text"]


def test_a_search_is_not_stopped_after_its_last_epoch(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlphaMonitor, "_epochs", lambda self: 20)
    results = play(AlphaMonitor(on_collapse="stop"), "a", reports(20, **COLLAPSE))
    assert results[-2:] == [BAD, GOOD]


def test_a_search_is_not_stopped_while_its_selection_decides(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlphaMonitor, "_epochs", lambda self: 20)
    results = play(AlphaMonitor(on_collapse="stop"), "a", reports(24, **COLLAPSE)[-4:])
    assert results == [GOOD] * 4


def growing(epochs: int) -> list[Report]:
    made = reports(epochs)
    return [{**r, "eigenvalue": 0.1 if r["epoch"] < epochs // 2 else 0.4} for r in made]


def test_a_sharp_search_is_told_of_and_not_killed(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"window": 2, "lag": 2, "after": 0}
    assert set(play(AlphaMonitor(eigenvalue=rule), "a", growing(10))) == {GOOD}
    assert "is 0.25, from 0.1 around epoch" in data(log)["verdict"]["text"]
    capsys.readouterr()
    # The rule that the search itself goes back by: on_collapse is for the others.
    settings = SearchSettings(eigenvalue={"stop": rule}, epochs=50)
    monkeypatch.setattr(AlphaMonitor, "_search_settings", lambda self: settings)
    assert set(play(AlphaMonitor(on_collapse="stop"), "b", growing(10))) == {GOOD}
    assert data(log)["verdict"]["text"].startswith(
        "collapsed after epoch 6: the mean largest eigenv"
    )
    assert not data(log)["verdict"]["stopped"]
    # A collapse of another kind still ends the trial.
    sharp = [{**r, "eigenvalue": 0.1 + r["epoch"]} for r in reports(20, 2, **COLLAPSE)]
    assert BAD in play(AlphaMonitor(on_collapse="stop"), "c", sharp)


# The data


def test_the_page_reads_the_stages_of_a_progressive_search(log: Path) -> None:
    made = reports(4)
    # Numbers of NNI's web UI: what a stage has left out is in none of its reports.
    made[2:] = [{k: v for k, v in r.items() if not k.endswith(" none")} for r in made[2:]]
    for epoch, report in enumerate(made):
        report["stage"] = 1 + epoch // 2
    play(AlphaMonitor(), "a", made)
    values = data(log)
    place = values["figures"].index("stage")
    assert [figures[place] for _, figures, *_ in values["epochs"]] == [1, 1, 2, 2]
    none = values["cells"][0]["operations"].index("none")
    count = len(values["cells"][0]["operations"])
    for number, _, weights, kept in values["epochs"]:
        gone = [weight is None for weight in weights[0][none::count]]
        assert set(gone) == {number >= 2}
        assert kept is not None


def test_what_the_page_reads(log: Path) -> None:
    made = reports(5)
    play(AlphaMonitor(), "a", made)
    values = data(log)
    normal, reduction = values["cells"]
    assert (normal["kind"], normal["inputs"], reduction["kind"]) == ("normal", 2, "reduce")
    assert normal["edges"][:3] == [[2, 0], [2, 1], [3, 0]]
    assert len(normal["edges"]) == len(reduction["edges"]) == 14
    assert normal["colours"][normal["operations"].index("skip_connect")][0].startswith("#")
    number, numbers_, weights, kept = values["epochs"][4]
    assert number == 4
    shown = dict(zip(values["figures"], numbers_, strict=True))
    assert shown["val_acc"] == pytest.approx(made[4]["default"], abs=1e-4)
    assert shown["entropy"] == pytest.approx(made[4]["entropy"], abs=1e-4)
    assert shown["skips"] == skips(derived(from_flat(made[4])))
    for c, kind in enumerate(("normal", "reduce")):
        rows = [list(row.values()) for row in from_flat(made[4]).cells[kind].values()]
        assert weights[c] == pytest.approx([w for row in rows for w in row], abs=5e-5)
        cell = values["cells"][c]
        edges = [
            (*cell["edges"][edge], cell["operations"][name])
            for edge, name in zip(kept[c][::2], kept[c][1::2], strict=True)
        ]
        nodes = enumerate(derived(from_flat(made[4]))[kind].nodes, 2)
        assert edges == [(node, e.source, e.operation) for node, es in nodes for e in es]


def test_back_from_json(log: Path) -> None:
    play(AlphaMonitor(on_collapse="stop"), "a", reports(12, **COLLAPSE)[1:])
    text = (log / "alphas/search-0.json").read_text()
    assert Search.from_json(text, "running").to_json() == text
    other = Search("search-1", 1, "b")
    report = {"epoch": 0, "x.1 conv": 0.4, "x.1 pool": 0.6, "y 16": 1, "z": float("nan")}
    other.add(Epoch.of(from_flat(report)))
    text = other.to_json()
    assert json.loads(text)["cells"][0]["edges"] == ["x.1", "y"]
    assert json.loads(text)["epochs"][0][2] == [[0.4, 0.6, None, None, None, 1.0]]
    assert Search.from_json(text, "running").to_json() == text


def test_the_data_of_an_earlier_version_get_a_layout(log: Path) -> None:
    play(AlphaMonitor(), "a", reports(2))
    path = log / "alphas/search-0.json"
    whole = path.read_text()
    values = json.loads(whole)
    for cell in values["cells"]:
        del cell["layout"]
    path.write_text(json.dumps(values))
    AlphaMonitor()
    assert path.read_text() == whole


def test_reports_that_come_again_show_once(log: Path) -> None:
    monitor, made = AlphaMonitor(), reports(6)
    play(monitor, "a", [*made, *made])
    assert numbers(log) == list(range(6))
    # It died, and its next attempt goes on from the checkpoint after epoch 3.
    monitor.trial_end("a", False)
    assert index(log)[0]["status"] == "failed"
    again = [{**report, "default": 0.125} for report in reports(4, start=3)]
    play(monitor, "b", again[:1])
    assert numbers(log) == [0, 1, 2, 3]
    assert data(log)["epochs"][3][1][0] == 0.125
    assert [(s["trial"], s["status"]) for s in index(log)] == [("b", "running")]
    play(monitor, "b", again)
    assert numbers(log) == list(range(7))


def test_cut_and_foreign_reports(log: Path) -> None:
    monitor, made = AlphaMonitor(), reports(4)
    made[1] = {k: v for k, v in made[1].items() if not k.startswith("n3<")}
    made[2] = {**made[2], "n2<0 mine": 0.2, "default": float("nan"), "entropy": "low"}
    foreign = [0.5, None, "text", {"default": 1.0}, {"key": "search-0"}, {"key": 7, "epoch": 1}]
    away = {"key": "search-../../x", "epoch": 0}
    assert set(play(monitor, "a", [*foreign, away, *made])) == {GOOD}
    values = data(log)
    assert numbers(log) == [0, 1, 2, 3]
    assert values["cells"][0]["operations"][-1] == "mine"
    assert values["epochs"][1][3] is None  # no derived cell
    assert None in values["epochs"][1][2][0]
    assert values["epochs"][2][1][0] is None
    assert sorted(path.name for path in log.rglob("*.json")) == ["index.json", "search-0.json"]


def test_other_stages_are_left_alone(log: Path) -> None:
    monitor = AlphaMonitor(on_collapse="stop", max_skips=0, epochs=1, min_entropy=9)
    assert set(play(monitor, "a", trained(5))) == {GOOD}
    monitor.trial_end("a", True)
    assert index(log) == []


def test_markup_is_data_only(log: Path) -> None:
    nasty = "</script><script>alert(1)</script>"
    made = [{**report, f"n2<0 {nasty}": 0.1} for report in reports(2)]
    play(AlphaMonitor(), "<b>", made)
    assert nasty in data(log)["cells"][0]["operations"]
    assert "alert" not in (log / "alphas.html").read_text()


# Cost


def test_sizes(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 searches of 50 epochs; an epoch rewrites its search's file and nothing else."""
    monitor, written = AlphaMonitor(), list[tuple[str, int]]()
    write = files.write

    def counted(path: Path, text: str) -> None:
        written.append((path.name, len(text)))
        write(path, text)

    monkeypatch.setattr(assessor.files, "write", counted)
    for seed in range(10):
        play(monitor, f"trial{seed}", reports(50, seed))
        monitor.trial_end(f"trial{seed}", True)
    weights = data(log)["epochs"][0][2]
    assert sum(map(len, weights)) == 224
    assert sum(path.stat().st_size for path in log.rglob("*") if path.is_file()) < 2e6
    # When a search begins, when it ends, and perhaps a verdict that comes and goes.
    assert sum(name == "index.json" for name, _ in written) <= 4 * 10
    assert max(size for name, size in written if name == "index.json") < 2000
    assert sum(name != "index.json" for name, _ in written) == 10 * (50 + 1)
    assert sum(size for _, size in written) / (10 * 50) < 60e3


def test_it_starts_without_torch_and_pandas() -> None:
    code = "import sys, nni_darts.assessor; print('torch' in sys.modules, 'pandas' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split()[0] == "False"


# Trouble


def test_a_folder_that_cannot_be_written(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = files.write

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(assessor.files, "write", full)
    monitor = AlphaMonitor(on_collapse="stop")
    assert play(monitor, "a", reports(20, **COLLAPSE))[-1] is BAD
    monitor.trial_end("a", False)
    printed = capsys.readouterr().out
    assert printed.count("cannot be written: ") == 1
    assert "No space left on device" in printed
    monkeypatch.setattr(assessor.files, "write", write)
    play(monitor, "b", reports(1, seed=1))
    assert [s["key"] for s in index(log)] == ["search-0", "search-1"]


def test_a_trial_that_was_stopped_is_noted(log: Path) -> None:
    play(AlphaMonitor(on_collapse="stop"), "a", reports(20, **COLLAPSE))
    assert Experiment("exp1", log.parent).stopped() == ["a"]


def test_without_a_log_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)
    assert set(play(AlphaMonitor(), "a", reports(3))) == {GOOD}
    assert list(tmp_path.rglob("*")) == []
    assert capsys.readouterr().out.count("NNI_LOG_DIRECTORY is not set") == 1


def test_an_exception_harms_no_trial(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(assessor, "judge", fail)
    monitor = AlphaMonitor(on_collapse="stop")
    assert set(play(monitor, "a", reports(5))) == {GOOD}
    monkeypatch.setattr(assessor.Epoch, "of", fail)
    monitor.trial_end("a", True)
    assert play(monitor, "b", reports(2)) == [GOOD, GOOD]
    assert capsys.readouterr().out.count("RuntimeError: a bug") == 1


# nnictl resume


def test_it_goes_on_with_what_is_in_the_folder(log: Path) -> None:
    monitor = AlphaMonitor()
    play(monitor, "a", reports(5))
    monitor.trial_end("a", True)
    play(monitor, "b", reports(3, seed=1))
    before = {path: path.read_text() for path in log.rglob("*.json")}
    again = AlphaMonitor()
    assert {path: path.read_text() for path in log.rglob("*.json")} == before
    play(again, "c", reports(3, seed=1, start=3))
    assert numbers(log, "search-1") == list(range(6))
    assert [s["status"] for s in index(log)] == ["succeeded", "running"]


@pytest.mark.parametrize("text", ["", "[]", '{"searches": [{"key": "../x", "status": ""}]}', "{}"])
def test_a_folder_that_cannot_be_read(
    log: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (log / "alphas").mkdir()
    (log / "alphas/index.json").write_text(text)
    play(AlphaMonitor(), "a", reports(2))
    assert numbers(log) == [0, 1]
    assert capsys.readouterr().out.count("begins anew") == 1


def test_trials_that_nni_resumed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NNI's dispatcher keeps their reports to itself: they are read from its database."""
    (log.parent / "db").mkdir()
    database = sqlite3.connect(Experiment("exp1", log.parent).database, isolation_level=None)
    database.execute("create table TrialJobEvent (timestamp int, trialJobId, event)")
    database.execute("create table MetricData (timestamp int, trialJobId, type, data)")
    database.execute("create table ExperimentProfile (params, revision int)")
    tuner = {"classArgs": {"space": {"name": "DartsCNN"}, "data": {"name": "digits"}}}
    database.execute("insert into ExperimentProfile values (?, 1)", [json.dumps({"tuner": tuner})])

    def event(trial: str, name: str) -> None:
        database.execute("insert into TrialJobEvent values (0, ?, ?)", [trial, name])

    def metric(trial: str, report: Any) -> None:
        row = [trial, json.dumps(json.dumps(report))]
        database.execute("insert into MetricData values (0, ?, 'PERIODICAL', ?)", row)

    event("done", "RUNNING")
    event("done", "SUCCEEDED")
    event("a", "RUNNING")
    made = reports(20, **COLLAPSE)
    play(AlphaMonitor(), "a", made[:2])
    metric("a", made[0])
    metric("a", made[1])
    cancelled: list[str] = []
    monkeypatch.setattr(
        assessor.nni_manager, "cancel", lambda experiment, trial: cancelled.append(trial)
    )
    event("a", "ADD_RESUMED")  # NNI does so while its dispatcher starts
    monitor = AlphaMonitor(on_collapse="stop")
    event("a", "RUNNING")
    metric("a", made[1])
    metric("done", made[5])
    event("new", "RUNNING")
    metric("new", made[6])
    monitor._look()
    assert numbers(log) == [0, 1]
    assert cancelled == []
    for report in made[2:]:
        metric("a", report)
    monitor._look()
    assert numbers(log) == list(range(20))
    assert data(log)["planned"] == 50
    assert cancelled == ["a"]
    for name in ("USER_TO_CANCEL", "USER_CANCELED"):
        event("a", name)
        monitor._look()
    assert index(log)[0]["status"] == "stopped"
    # Nothing more of it.
    metric("a", made[0])
    monitor._look()
    assert len(numbers(log)) == 20


def test_the_address_is_told(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", "ws://localhost:8080/pre/tuner")
    assert nni_manager.address() == "http://localhost:8080/pre/api/v1/nni"
    AlphaMonitor()
    assert "http://localhost:8080/pre/logs/alphas.html" in capsys.readouterr().out
    assert (log / "alphas.html").exists()
