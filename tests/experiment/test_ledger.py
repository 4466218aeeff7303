"""NNI gives parameters to whichever trial asks first: the ledger must not be led astray."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from experiments import A, searched
from nni_darts._common.files import DamagedError
from nni_darts.experiment.ledger import Ledger, read_ledger
from nni_darts.experiment.nni_database import Trial


def trial(status: str, key: str | None = None, done: bool = False) -> Trial:
    result: dict[str, Any] | None = {"key": key, "default": 0.5} if done else None
    return Trial("id", status, {}, result, key)


def ledger(*issued: str) -> Ledger:
    made = Ledger()
    for key in issued:
        made.issue(key)
    return made


def state(made: Ledger) -> tuple[set[str], dict[str, int], dict[str, int]]:
    return set(made.results), dict(+made.failures), dict(+made.pending)


@pytest.mark.parametrize(
    ("issued", "trials", "expected"),
    [
        # Nothing has become a trial yet.
        ("ab", [], (set(), {}, {"a": 1, "b": 1})),
        # Started, silent so far.
        ("ab", [trial("RUNNING"), trial("WAITING")], (set(), {}, {"a": 1, "b": 1})),
        # One has reported: the other must be b, wherever NNI wrote that down.
        ("ab", [trial("RUNNING", "a"), trial("WAITING")], (set(), {}, {"a": 1, "b": 1})),
        ("ab", [trial("RUNNING", "b", done=True)], ({"b"}, {}, {"a": 1})),
        # It died after a report: that says which it was.
        ("ab", [trial("FAILED", "b"), trial("RUNNING")], (set(), {"b": 1}, {"a": 1})),
        ("ab", [trial("USER_CANCELED", "b"), trial("RUNNING", "a")], (set(), {"b": 1}, {"a": 1})),
        # It died in silence while another is silent too: it may have been either.
        ("ab", [trial("FAILED"), trial("RUNNING")], (set(), {}, {"a": 1, "b": 1})),
        # ... until the other one speaks, or has ended.
        ("ab", [trial("FAILED"), trial("RUNNING", "a")], (set(), {"b": 1}, {"a": 1})),
        ("ab", [trial("FAILED"), trial("SUCCEEDED", "b", done=True)], ({"b"}, {"a": 1}, {})),
        ("ab", [trial("FAILED"), trial("FAILED")], (set(), {"a": 1, "b": 1}, {})),
        # One is still to become a trial: it could be the silent one's.
        ("ab", [trial("FAILED")], (set(), {}, {"a": 1, "b": 1})),
        # NNI says that it succeeded, but there is no result.
        ("a", [trial("SUCCEEDED")], (set(), {"a": 1}, {})),
        # A search that was stopped because it collapsed is not tried again.
        ("ab", [trial("EARLY_STOPPED", "a"), trial("RUNNING", "b")], (set(), {"a": 2}, {"b": 1})),
        # A result counts, whatever became of its trial afterwards.
        ("a", [trial("FAILED", "a", done=True)], ({"a"}, {}, {})),
    ],
)
def test_where_the_runs_are(
    issued: str, trials: list[Trial], expected: tuple[set[str], dict[str, int], dict[str, int]]
) -> None:
    made = ledger(*issued)
    made.update(trials)
    assert state(made) == expected


def test_a_trial_whose_machine_could_not_run_it_is_no_failure() -> None:
    made = ledger("a")
    unable = trial("FAILED")
    unable.unable = "this Python lacks torch"
    made.update([unable])
    assert state(made) == (set(), {}, {})
    assert made.lost == Counter(a=1)


@pytest.mark.parametrize(("time", "pending"), [(5, {}), (15, {"a": 1})])
def test_a_trial_that_an_earlier_manager_was_to_resume(time: int, pending: dict[str, int]) -> None:
    """NNI forgets it: nothing will ever be heard of it."""
    made = ledger("a")
    waiting = Trial("id", "ADD_RESUMED", {}, None, None, event=3, time=time)
    made.resume([waiting], started=10)
    made.update([waiting])
    assert state(made) == (set(), {}, pending)


def test_a_silent_failure_stays_with_its_run_while_it_is_tried_again() -> None:
    made = ledger("a", "b")
    before = [trial("FAILED"), trial("SUCCEEDED", "b", done=True)]
    made.update(before)
    made.issue("a")
    made.update([*before, trial("RUNNING")])
    assert state(made) == ({"b"}, {"a": 1}, {"a": 1})
    made.update([*before, trial("RUNNING", "a")])
    assert state(made) == ({"b"}, {"a": 1}, {"a": 1})
    made.update([*before, trial("SUCCEEDED", "a", done=True)])
    assert state(made) == ({"a", "b"}, {"a": 1}, {})


def test_two_silent_failures_of_a_run() -> None:
    made = ledger("a")
    made.update([trial("FAILED")])
    made.issue("a")
    made.update([trial("FAILED"), trial("FAILED")])
    assert state(made) == (set(), {"a": 2}, {})


def test_what_nni_had_not_started_before_a_stop_is_lost_and_no_failure() -> None:
    made = ledger("a", "b", "c")
    again = Ledger.from_json(made.to_json())
    trials = [trial("SUCCEEDED", "a", done=True), trial("WAITING")]
    again.resume(trials)
    again.update(trials)
    # b or c: NNI has taken up one of them again, which has not spoken yet.
    assert state(again) == ({"a"}, {}, {"b": 1, "c": 1})
    again.update([trials[0], trial("RUNNING", "c")])
    assert state(again) == ({"a"}, {}, {"c": 1})
    assert again.lost == Counter(b=1)
    again.issue("b")
    again.update([trials[0], trial("RUNNING", "c"), trial("RUNNING")])
    assert state(again) == ({"a"}, {}, {"b": 1, "c": 1})


def test_a_resumed_trial_that_does_another_run_again() -> None:
    # Trial 1 did b under the parameters of a, trial 2 was doing a under those of b. After a stop
    # NNI starts trial 2 again, with the parameters of b.
    again = Ledger.from_json(ledger("a", "b").to_json())
    done = trial("SUCCEEDED", "b", done=True)
    again.resume([done, trial("WAITING")])
    again.update([done, trial("WAITING")])
    assert state(again) == ({"b"}, {}, {"a": 1})
    again.update([done, trial("SUCCEEDED", "b", done=True)])
    assert state(again) == ({"b"}, {}, {})
    again.issue("a")
    assert again.pending["a"] == 1


def test_a_run_that_could_not_be_issued_is_as_before() -> None:
    made = ledger("a")
    made.issue("b")
    made.withdraw("b")
    made.update([trial("RUNNING")])
    assert state(made) == (set(), {}, {"a": 1})


def test_the_state_outlives_a_restart() -> None:
    made = ledger("search-0", "b", "b")
    done = Trial("id", "SUCCEEDED", {}, searched(0, (-1.0, A)), "search-0")
    made.update([done, trial("FAILED"), trial("FAILED")])
    again = Ledger.from_json(made.to_json())
    assert (again.issued, again.silent, again.results) == (made.issued, made.silent, made.results)
    assert again.silent == Counter(b=2)


def interrupted(key: str, event: int, cause: str = "the disk is full") -> Trial:
    return Trial("id", "FAILED", {}, None, key, cause, event)


def test_an_attempt_that_was_interrupted_does_not_count_and_is_held_until_a_resume() -> None:
    made = ledger("a", "a", "a")
    trials = [interrupted("a", 3), interrupted("a", 6), interrupted("a", 9)]
    made.update(trials)
    assert state(made) == (set(), {}, {})
    assert made.held == {"a": "the disk is full"}
    again = Ledger.from_json(made.to_json())
    again.resume(trials)
    again.update(trials)
    assert again.held == {}
    assert state(again) == (set(), {}, {})
    again.issue("a")
    again.update([*trials, Trial("id", "RUNNING", {}, None, "a", None, 12)])
    assert state(again) == (set(), {}, {"a": 1})
    again.update([*trials, interrupted("a", 12, "again")])
    assert again.held == {"a": "again"}
    # What is a failure of its own counts, as before.
    again.issue("a")
    again.update([*trials, interrupted("a", 12), Trial("id", "FAILED", {}, None, "a", None, 15)])
    assert state(again)[1] == {"a": 1}


def test_what_is_done_or_under_way_is_not_held() -> None:
    made = ledger("a", "a", "b", "b")
    running = Trial("id", "RUNNING", {}, None, "a", None, 4)
    done = trial("FAILED", "b", done=True)
    made.update([interrupted("a", 2), running, interrupted("b", 6), done])
    assert made.held == {}


@pytest.mark.parametrize("ahead", [0, 1])
def test_what_was_lost_at_a_stop_hangs_on_what_was_seen(ahead: int) -> None:
    # NNI forgets a trial that it was about to resume; one that it has marked since is resumed.
    again = ledger("a")
    again.seen = 7
    waiting = Trial("id", "ADD_RESUMED", {}, None, "a", None, 7 + ahead)
    again.resume([waiting])
    again.update([waiting])
    assert again.pending["a"] == ahead


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"issued": [1]}',
        '{"issued": {"a": "1"}}',
        '{"silent": {"a": -1}}',
        '{"seen": null}',
        '{"results": {"a": 1}}',
        '{"results": {"search-0": {"stage": "search", "key": "search-0", "seed": 0}}}',
        '{"issued": null}',
        b"\xff",
        "[" * 100_000,
    ],
)
def test_a_damaged_state_is_done_without(
    text: str | bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], message: Any
) -> None:
    message(DamagedError, Ledger.from_json, text)
    path = tmp_path / "nni_darts.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    for _ in range(2):
        assert read_ledger(path) == Ledger()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nni-darts: {path} is damaged: ")
    assert line.endswith("; going on with what NNI recorded")


def test_another_versions_state_is_no_damage() -> None:
    state = json.loads(ledger("a").to_json())
    assert Ledger.from_json(json.dumps({**state, "new": [1]})).issued == Counter(a=1)
    del state["resumed"]
    assert Ledger.from_json(json.dumps(state)).issued == Counter(a=1)


def test_without_its_state_it_goes_on_with_what_nni_recorded() -> None:
    trials = [trial("SUCCEEDED", "a", done=True), trial("FAILED", "b"), trial("RUNNING", "c")]
    made = Ledger()
    made.resume(trials)
    made.update(trials)
    assert state(made) == ({"a"}, {"b": 1}, {"c": 1})
    assert made.issued.total() - made.dropped == len(trials)
