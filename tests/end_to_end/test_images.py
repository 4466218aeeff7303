"""The way of a user, with NNI's manager and real trials."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from live import BIN, RUNS, Shell, experiment_file, free_port, status, until
from PIL import Image

from nni_darts import load
from nni_darts.experiment import loopback, nni_database
from nni_darts.genotypes.genotype import Genotype
from nni_darts.history.keys import MAX_KEY
from search_spaces import DartsNetwork

pytestmark = [pytest.mark.slow, pytest.mark.manager]


@pytest.fixture
def run(home: Path) -> Shell:
    return Shell(home)


Outcome = dict[str, tuple[Any, ...]]


def outcome(experiment: nni_database.Experiment) -> Outcome:
    """What matters of each run, exactly: which architecture, how good."""
    table = pd.read_csv(experiment.folder / "results.csv")
    assert table["key"].is_unique
    assert set(table["status"]) == {"SUCCEEDED"}
    names = ["architecture", "val_acc", "val_loss", "test_acc", "test_loss", "params"]
    return {
        row["key"]: tuple(None if pd.isna(row[name]) else row[name] for name in names)
        for _, row in table.iterrows()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str, Outcome]:
    """The whole protocol under nnictl: the shell, what was printed, and the outcome."""
    shell = Shell(tmp_path_factory.mktemp("home"))
    config = str(experiment_file(tmp_path_factory.mktemp("file")))
    created = shell("nnictl", "create", "--config", config, "--foreground", "--port", free_port())
    assert created.returncode == 0, created.stdout + created.stderr
    return shell, created.stdout, outcome(shell.experiment)


def test_the_whole_protocol(undisturbed: tuple[Shell, str, Outcome]) -> None:
    shell, printed, runs = undisturbed
    trials = shell.experiment.trials()
    assert [trial.status for trial in trials] == ["SUCCEEDED"] * RUNS
    results = {str(trial.key): trial.result or {} for trial in trials}
    assert sorted(result["stage"] for result in results.values()) == [
        *["evaluate"], *["search"] * 2, *["select"] * 2
    ]  # fmt: skip
    assert set(runs) == set(results)
    (winner,) = (result for result in results.values() if result["stage"] == "evaluate")
    selected = [result for result in results.values() if result["stage"] == "select"]
    best = max(selected, key=lambda result: float(result["val_acc"]))
    assert json.loads(winner["genotype"]) == json.loads(best["genotype"])
    found = [json.loads(r["genotype_1"]) for r in results.values() if r["stage"] == "search"]
    assert all(json.loads(result["genotype"]) in found for result in selected)
    # The table, on the user's screen.
    for key in results:
        stage, *_, seed = key.split("-")
        assert re.search(rf"^ *{stage} +{seed} ", printed, re.MULTILINE), key
    assert f"{winner['test_acc']:.2%}" in printed
    assert "best.ckpt" in printed
    network = load(winner["weights"])
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    for result in results.values():
        names = {path.name for path in Path(result["output"]).iterdir()}
        assert {"history.csv", "last.ckpt", "result.json"} <= names
    search = next(trial for trial in trials if trial.key == "search-0")
    keys = [key for key in search.reports[0] if "<" in key]
    assert len(keys) == 2 * 5 * 8
    assert all(len(key) <= MAX_KEY for key in keys)


def test_export(undisturbed: tuple[Shell, str, Outcome], tmp_path: Path) -> None:
    shell, _, _ = undisturbed
    table = shell("nni-darts", "export", "--top-k", "2")
    assert table.returncode == 0
    assert shell.experiment.id in table.stdout
    exported = shell("nni-darts", "export", shell.experiment.id, "--top-k", "6", "--format", "json")
    rows = json.loads(exported.stdout)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["stage"] for row in rows][:3] == ["evaluate", "select", "search"]
    assert rows[0]["val_acc"] >= rows[1]["val_acc"]
    assert rows[0]["test_acc"] is not None
    assert rows[1]["test_acc"] is None
    for row in rows:
        network = DartsNetwork(Genotype.parse(json.dumps(row["genotype"])), 4, 3, in_channels=1)
        assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)
        if row["stage"] != "search":
            assert sum(p.numel() for p in network.parameters()) == row["params"]
    for form in ("authors", "ptdarts", "nni"):
        target = tmp_path / f"genotypes.{form}"
        written = shell("nni-darts", "export", "--format", form, "-o", str(target))
        assert written.returncode == 0
        texts = [t for t in target.read_text().splitlines() if not t.startswith("#")]
        expected = [row["genotype"] for row in rows[:3]]
        assert [json.loads(Genotype.parse(t).to_json()) for t in texts] == expected


def test_the_exported_weights_can_be_tested(undisturbed: tuple[Shell, str, Outcome]) -> None:
    shell, _, runs = undisturbed
    (winner,) = (t for t in shell.experiment.trials() if str(t.key).startswith("evaluate"))
    weights = (winner.result or {})["weights"]
    tested = shell("nni-darts", "evaluate", weights, "--data", "digits")
    assert tested.returncode == 0
    assert f"test accuracy {runs[str(winner.key)][3]:.2%}" in tested.stdout


def test_nni_darts_run_gives_the_same(
    undisturbed: tuple[Shell, str, Outcome], run: Shell, tmp_path: Path
) -> None:
    done = run("nni-darts", "run", str(experiment_file(tmp_path)), "--port", free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "search-0  epoch 3/3  val acc" in done.stdout
    assert "normal " in done.stdout
    assert done.stdout.count("succeeded") == RUNS
    assert done.stdout.count("selected ") == 1
    assert "Traceback" not in done.stderr
    assert outcome(run.experiment) == undisturbed[2]


def reported(experiment: nni_database.Experiment, stage: str) -> str | None:
    """The id of a trial of a stage that is under way and has reported an epoch."""
    for trial in experiment.trials():
        if trial.alive and trial.result is None and str(trial.key).startswith(stage):
            return trial.id
    return None


def processes(trial: str) -> list[int]:
    """Those of a trial, by what NNI put into their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is another user's
            continue
        if f"NNI_TRIAL_JOB_ID={trial}".encode() in environment and b"nni_darts.trial" in command:
            found.append(int(folder.name))
    return found


def test_a_killed_search_is_tried_again_and_nothing_changes(
    undisturbed: tuple[Shell, str, Outcome], run: Shell, tmp_path: Path
) -> None:
    port = free_port()
    create = ["nnictl", "create", "--config", str(experiment_file(tmp_path)), "--port", port]
    assert run(*create).returncode == 0
    try:
        victim = until(lambda: reported(run.experiment, "search"))
        for process in processes(victim):
            os.kill(process, signal.SIGKILL)
        until(lambda: status(port) == "DONE")
        trials = run.experiment.trials()
        assert [t.status for t in trials if t.id == victim] == ["USER_CANCELED"]
        assert len(trials) == RUNS + 1
        assert outcome(run.experiment) == undisturbed[2]
        log = (run.experiment.folder / "log" / "nnictl_stdout.log").read_text()
        assert "failed and is tried again, from its checkpoint" in log
    finally:
        run("nnictl", "stop", "--all")


def test_stop_and_resume_in_each_stage_change_nothing(
    undisturbed: tuple[Shell, str, Outcome], run: Shell, tmp_path: Path
) -> None:
    port = free_port()
    create = ["nnictl", "create", "--config", str(experiment_file(tmp_path)), "--port", port]
    assert run(*create).returncode == 0
    try:
        for stage in ("search", "select", "evaluate"):
            until(lambda stage=stage: reported(run.experiment, stage))
            assert run("nnictl", "stop", run.experiment.id).returncode == 0
            resumed = run("nnictl", "resume", run.experiment.id, "--port", port)
            assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        until(lambda: status(port) == "DONE")
        assert outcome(run.experiment) == undisturbed[2]
    finally:
        run("nnictl", "stop", "--all")


def test_what_is_no_fault_of_a_run_does_not_use_up_its_attempts(run: Shell, tmp_path: Path) -> None:
    port, root = free_port(), tmp_path / "images"
    path = experiment_file(tmp_path, epochs=1, batch_size=2, seeds=[0])
    values = yaml.safe_load(path.read_text())
    settings = values["tuner"]["classArgs"]
    settings["data"] = {"name": "image_folder", "root": str(root)}
    del settings["select"], settings["evaluate"]
    path.write_text(yaml.safe_dump({**values, "maxTrialNumber": 1}))
    assert run("nnictl", "create", "--config", str(path), "--port", port).returncode == 0
    try:
        for attempts in (1, 2, 3):
            until(lambda: status(port) == "ERROR")
            log = (run.experiment.folder / "log" / "nnictl_stdout.log").read_text()
            assert "search-0 cannot go on (data: image_folder needs a directory" in log
            trials = run.experiment.trials()
            assert [(t.key, t.status) for t in trials] == [("search-0", "FAILED")] * attempts
            if attempts == 3:
                for k, name in enumerate(("cat", "dog")):
                    (root / name).mkdir(parents=True)
                    for i in range(4):
                        Image.new("L", (32, 32), 100 * k).save(root / name / f"{i}.png")
            assert run("nnictl", "stop", run.experiment.id).returncode == 0
            resumed = run("nnictl", "resume", run.experiment.id, "--port", port)
            assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        until(lambda: status(port) == "DONE")
        assert [t.status for t in run.experiment.trials()] == ["FAILED"] * 3 + ["SUCCEEDED"]
    finally:
        run("nnictl", "stop", "--all")


def test_a_diverging_search_fails_and_says_why(run: Shell, tmp_path: Path) -> None:
    config = experiment_file(tmp_path, learning_rate=1e11, gradient_clip=None)
    done = run("nni-darts", "run", str(config), "--port", free_port())
    assert done.returncode == 1
    assert "failed: error: the" in done.stdout
    assert "in epoch 0, step" in done.stdout
    assert "no search has a result: there is nothing to go on with" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_collapsed_search_is_stopped(run: Shell, tmp_path: Path) -> None:
    """The bound is planted: no search has an entropy that high."""
    path = experiment_file(tmp_path, seeds=[0, 1], epochs=20)
    values = yaml.safe_load(path.read_text())
    values["assessor"]["classArgs"] = {"on_collapse": "stop", "min_entropy": 10.0}
    path.write_text(yaml.safe_dump(values))
    done = run("nni-darts", "run", str(path), "--port", free_port())
    assert done.returncode == 1
    trials = run.experiment.trials()
    # Once each: they would only be stopped again.
    assert [trial.status for trial in trials] == ["EARLY_STOPPED"] * 2
    assert all(len(trial.reports) < 20 for trial in trials)
    assert "no search has a result: there is nothing to go on with" in done.stdout
    index = (run.experiment.folder / "log" / "alphas" / "index.json").read_text()
    assert "search-0" in index


def test_the_manager_stays_on_loopback(run: Shell, tmp_path: Path) -> None:
    """Under `nni-darts run`, which a signal ends, and after a plain `nnictl resume`."""
    port = free_port()
    command = [str(BIN / "nni-darts"), "run", str(experiment_file(tmp_path, epochs=30))]
    plain = {k: v for k, v in run.env.items() if k != "NODE_OPTIONS"}
    running = subprocess.Popen(
        [*command, "--port", port],
        env=plain,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    until(lambda: "epoch 1/" in str(running.stdout and running.stdout.readline()))
    assert not loopback.is_exposed(int(port))
    running.send_signal(signal.SIGTERM)
    _, error = running.communicate(timeout=120)
    assert running.returncode == 143
    id_ = run.experiment.id
    assert f"ended by SIGTERM: stopping experiment {id_}; go on with: nnictl resume {id_}" in error
    with pytest.raises(OSError, match="refused"):
        status(port)
    try:
        run.env = plain
        # Twice, the first time for so short that nothing has happened.
        for _ in range(2):
            assert run("nnictl", "resume", id_, "--port", port).returncode == 0
            until(lambda: not loopback.is_exposed(int(port)), 30)
            assert run("nnictl", "stop", id_).returncode == 0
        assert run("nnictl", "resume", id_, "--port", port).returncode == 0
        until(lambda: status(port) == "DONE")
        assert not loopback.is_exposed(int(port))
    finally:
        run("nnictl", "stop", "--all")


def test_wrong_settings_under_plain_nnictl_end_the_experiment(run: Shell, tmp_path: Path) -> None:
    config = experiment_file(tmp_path, epoch=3)
    created = run(
        "nnictl", "create", "--config", str(config), "--foreground", "--port", free_port()
    )
    expected = "tuner.classArgs.search.epoch: unknown key 'epoch'; did you mean 'epochs'?"
    assert expected in created.stdout
    assert "to: ERROR" in created.stdout
    assert run.experiment.trials() == []
