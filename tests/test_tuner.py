from __future__ import annotations

import json
import random
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from nni_manager import FakeManager

from nni_darts.experiment import loopback, nni_manager
from nni_darts.experiment.nni_database import Experiment
from nni_darts.genotypes.genotype_json import digest
from nni_darts.genotypes.random_cells import draw
from nni_darts.tasks.settings import Run
from nni_darts.tuner import DartsProtocol

A, B, C = (genotype.to_json() for genotype in draw(3, 0))
CLASS_ARGS: dict[str, Any] = {
    "space": {"name": "DartsCNN"},
    "data": {"name": "digits"},
    "search": {"seeds": [0, 1, 2]},
    "select": {},
    "evaluate": {"seeds": [0, 1]},
}
PLANNED = 3 + 3 + 2
BEST = digest(C)
OPEN = "127.0.0.2"
"""Answers, as far as a tuner sees, as a manager on all interfaces does."""
EXPECTED = {
    *(f"search-{seed}" for seed in (0, 1, 2)),
    *(f"select-{digest(text)}-0" for text in (A, B, C)),
    *(f"evaluate-{BEST}-{seed}" for seed in (0, 1)),
}

Make = Callable[..., FakeManager]


def outcome(run: Run) -> dict[str, Any]:
    common = {"stage": run.stage, "seed": run.seed, "epochs": 1}
    if run.stage == "search":
        text = (A, B, C)[run.seed]
        return {**common, "default": 0.5, "genotype_1": text, "score_1": -1.0}
    accuracy = {A: 0.3, B: 0.2, C: 0.4}[str(run.genotype)]
    common |= {"genotype": run.genotype, "default": accuracy, "val_acc": accuracy}
    return common if run.stage == "select" else {**common, "test_acc": accuracy}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def made(concurrency: int = 2, max_trials: int = PLANNED, **changes: Any) -> FakeManager:
        monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path / "checkpoint"))
        (tmp_path / "checkpoint").mkdir()
        args = {name: v for name, v in {**CLASS_ARGS, **changes}.items() if v is not None}
        nni = FakeManager(tmp_path, args, max_trials, concurrency, changes.pop("play", outcome))
        monkeypatch.setattr(nni_manager, "set_max_trials", nni.set_max_trials)
        monkeypatch.setattr(nni_manager, "start_time", lambda experiment: nni.started)
        nni.begin()
        return nni

    return made


def play(nni: FakeManager, chance: random.Random) -> None:
    for _ in range(2000):
        if nni.done or nni.error:
            return
        nni.step(chance)
    raise AssertionError("the experiment hangs")


def test_a_manager_that_cannot_be_kept_on_loopback_is_ended(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Process:
        pid = 4711
        sent: ClassVar[list[int]] = []

        def send_signal(self, number: int) -> None:
            self.sent.append(number)

    def keep(folder: Path, port: int, process: int | None) -> bool:
        assert (port, process) == (8081, 4711)
        raise loopback.OpenError("it is open; nnictl resume ID")

    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", "ws://localhost:8081/tuner")
    monkeypatch.setattr(nni_manager, "process", lambda experiment: Process())
    monkeypatch.setattr(loopback, "keep", keep)
    nni = make()
    assert Process.sent == [signal.SIGTERM]
    assert "it is open; nnictl resume" in str(nni.error)


@pytest.mark.parametrize(("word", "host"), [("", OPEN), ("", "127.0.0.1"), (loopback.ALL, OPEN)])
def test_it_says_what_an_open_manager_exposes(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
    host: str,
) -> None:
    monkeypatch.setenv(loopback.HOST, word)
    with socket.socket() as listening:
        listening.bind((host, 0))
        listening.listen()
        port = listening.getsockname()[1]
        monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://localhost:{port}/tuner")
        make()
    printed = capsys.readouterr().out
    exposed = not word and host == OPEN
    assert (f"port {port}, and asks for no password" in printed) is exposed
    assert printed.count("nni-darts env") == exposed


def test_a_python_that_lacks_something_burns_no_attempt(make: Make, tmp_path: Path) -> None:
    nni = make(concurrency=1)
    for _ in range(2):
        nni.submit()
        (trial,) = nni.alive
        nni._metric(trial.id, "PERIODICAL", {"unable": "this Python lacks torch; install it"})
        nni.ask(trial)
        nni.kill(trial)
        assert "this Python lacks torch; install it; then go on with: nnictl resume" in str(
            nni.error
        )
        # It has been installed, or so they say.
        nni.error = None
        nni.stop_and_resume()
        assert nni.error is None
    play(nni, random.Random(0))
    check_end(nni, tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_stopped_again_before_the_tuner_has_looked(make: Make, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    nni = make()
    for _ in range(10):
        nni.step(chance)
    nni.stop_and_resume(heard=False)
    nni.stop_and_resume()
    play(nni, chance)
    check_end(nni, tmp_path)


def check_end(nni: FakeManager, folder: Path) -> None:
    assert nni.error is None
    assert nni.done
    table = pd.read_csv(folder / "results.csv")
    assert sorted(table["key"]) == sorted(EXPECTED)
    assert set(table["status"]) == {"SUCCEEDED"}


@pytest.mark.parametrize("concurrency", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_the_protocol_at_any_concurrency(
    make: Make, concurrency: int, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nni = make(concurrency)
    play(nni, random.Random(seed))
    check_end(nni, tmp_path)
    assert len(nni.finished) == nni.submitted == nni.max_trials == PLANNED
    printed = capsys.readouterr().out
    assert printed.count(f"selected {BEST}: ") == 1
    assert f"{BEST}: test accuracy 40.00 +- 0.00% (2 trainings)" in printed


@pytest.mark.parametrize("seed", range(30))
def test_kills_and_stops_at_any_moment_change_nothing(
    make: Make, seed: int, tmp_path: Path
) -> None:
    """One trial of each stage dies, and the experiment is stopped and resumed time and again."""
    chance = random.Random(seed)
    nni = make(chance.randint(1, 4))
    to_kill = {"search", "select", "evaluate"}
    stops = 4
    for _ in range(2000):
        if nni.done or nni.error:
            break
        stage = _stage(nni)
        if stage in to_kill and nni.alive and chance.random() < 0.15:
            nni.kill(chance.choice(nni.alive))
            to_kill.remove(stage)
        elif stops and chance.random() < 0.08:
            nni.stop_and_resume()
            stops -= 1
        else:
            nni.step(chance)
    check_end(nni, tmp_path)


def _stage(nni: FakeManager) -> str:
    results = {result["stage"]: 0 for result in nni.finished}
    for result in nni.finished:
        results[result["stage"]] += 1
    if results.get("search", 0) < 3:
        return "search"
    return "select" if results.get("select", 0) < 3 else "evaluate"


def test_requests_that_could_not_be_answered_are_answered_as_soon_as_possible(make: Make) -> None:
    nni = make(3)
    while nni.submit():
        nni.ask(nni.alive[-1])
    first, second, third = nni.alive
    nni.finish(first)
    nni.finish(second)
    assert not nni.submit()
    nni.finish(third)
    # All three places are taken at once, by what only now can be run.
    assert nni.submit()
    assert nni.submit()
    assert nni.submit()
    assert len(nni.alive) == 3


def test_a_trial_that_is_started_again_may_do_another_run(make: Make, tmp_path: Path) -> None:
    nni = make(1)
    nni.submit()
    nni.ask(nni.alive[0])
    nni.report(nni.alive[0])
    experiment = Experiment("id", tmp_path)
    assert [trial.key for trial in experiment.trials()] == ["search-0"]
    nni.stop_and_resume()
    assert [trial.key for trial in experiment.trials()] == [None]
    nni.submit()
    nni.ask(nni.alive[0])
    nni.report(nni.alive[0])
    assert [trial.key for trial in experiment.trials()] == ["search-0"]


def test_a_search_that_the_assessor_stopped_is_not_tried_again(make: Make, tmp_path: Path) -> None:
    nni = make(1)
    nni.submit()
    nni.ask(nni.alive[0])
    nni.report(nni.alive[0])
    experiment = Experiment("id", tmp_path)
    experiment.stopped_file.write_text(json.dumps([nni.alive[0].id]))
    # NNI calls it cancelled by the user, as it does a trial that was killed.
    nni.kill(nni.alive[0])
    assert [trial.status for trial in experiment.trials()] == ["EARLY_STOPPED"]
    play(nni, random.Random(0))
    assert nni.done
    assert "search-0" not in {result["key"] for result in nni.finished}
    assert nni.submitted == 1 + 2 + 2 + 2


def test_a_run_that_keeps_failing_is_left_out(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    nni = make(1)
    for _ in range(2):
        nni.submit()
        nni.ask(nni.alive[0])
        nni.report(nni.alive[0])
        nni.kill(nni.alive[0])
    play(nni, random.Random(0))
    assert nni.done
    assert nni.error is None
    # Its training is not needed either: 2 attempts, 2 searches, 2 selections, 2 evaluations.
    assert nni.submitted == nni.max_trials == 2 + 2 + 2 + 2
    printed = capsys.readouterr().out
    assert printed.count("search-0 failed and is tried again, from its checkpoint") == 1
    assert printed.count("search-0 failed 2 times, or was stopped early: left out") == 1


@pytest.mark.parametrize("interruptions", [1, 3])
def test_what_interrupts_a_run_is_no_failure_and_a_resume_tries_again(
    make: Make, interruptions: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nni = make(1)
    for _ in range(interruptions):
        nni.submit()
        nni.ask(nni.alive[0])
        assert nni.alive[0].key == "search-0"
        nni.interrupt(nni.alive[0], "No space left on device")
        assert not nni.alive
        # The others are not kept from running.
        play(nni, random.Random(0))
        assert {r["key"] for r in nni.finished} == {"search-1", "search-2"}
        assert nni.error == (
            "search-0 cannot go on (No space left on device): put that right, then nnictl stop and "
            "nnictl resume this experiment"
        )
        assert not nni.done
        nni.error = None
        nni.stop_and_resume()
    play(nni, random.Random(0))
    check_end(nni, tmp_path)
    assert nni.submitted == nni.max_trials == PLANNED + interruptions
    assert "left out" not in capsys.readouterr().out


def test_the_last_run_is_tried_again_too(make: Make, tmp_path: Path) -> None:
    nni = make(1)
    chance = random.Random(0)
    while len(nni.finished) < PLANNED - 1:
        nni.step(chance)
    while not nni.alive:
        nni.submit()
    nni.kill(nni.alive[0])
    assert not nni.done
    play(nni, chance)
    check_end(nni, tmp_path)
    assert nni.submitted == PLANNED + 1


def test_a_genotype_found_twice_makes_the_experiment_shorter(make: Make) -> None:
    def same(run: Run) -> dict[str, Any]:
        result = outcome(run)
        return {**result, "genotype_1": C} if run.stage == "search" else result

    nni = make(2)
    nni.outcome = same
    play(nni, random.Random(0))
    assert nni.done
    assert nni.submitted == nni.max_trials == 3 + 1 + 2


def test_when_all_searches_fail_the_experiment_ends_in_an_error(make: Make) -> None:
    nni = make(3)
    for _ in range(200):
        if nni.error:
            break
        if not nni.submit():
            nni.kill(nni.alive[0])
    assert nni.error == "no search has a result: there is nothing to go on with"
    assert nni.submitted == 6


def test_given_genotypes(make: Make) -> None:
    nni = make(
        2, max_trials=4, space=None, search=None, genotypes=[A, B, C], evaluate={"seeds": [0]}
    )
    play(nni, random.Random(1))
    assert nni.done
    assert sorted(r["stage"] for r in nni.finished) == ["evaluate", "select", "select", "select"]


def test_wrong_settings_end_the_experiment_and_say_why(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    nni = make(2, search={"epoch": 3})
    expected = (
        "wrong settings: tuner.classArgs.search.epoch: unknown key 'epoch'; did you mean 'epochs'?"
    )
    assert str(nni.error).startswith(expected)
    assert nni.submitted == 0
    assert expected in capsys.readouterr().out


def test_an_exception_ends_the_experiment_visibly(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    nni = make(1)
    monkeypatch.setattr("nni_darts.experiment.nni_database.Experiment.trials", lambda self: 1 / 0)
    nni.submit()
    nni.ask(nni.alive[0])
    nni.finish(nni.alive[0])
    assert nni.error == "the tuner failed: ZeroDivisionError: division by zero"


def test_nothing_is_issued_that_could_be_issued_twice(make: Make, tmp_path: Path) -> None:
    nni = make(2)
    # Both are noted as issued before NNI has them.
    again = DartsProtocol(**CLASS_ARGS)
    again.load_checkpoint()
    assert again._ledger.issued.total() == 2
    nni.stop_and_resume()
    play(nni, random.Random(0))
    check_end(nni, tmp_path)
    assert len(nni.finished) == PLANNED
