from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nni_darts._common.validation import SettingsError
from nni_darts.training.identity import Identity


def identity(**settings: Any) -> Identity:
    return Identity("search-0", json.dumps({"seed": 0, "settings": settings}))


def test_the_digest_is_of_what_decides_the_outcome() -> None:
    one = identity(epochs=3)
    assert one.digest == Identity("another", one.what).digest
    assert one.digest != identity(epochs=4).digest
    assert len(one.digest) == 16


def test_a_run_knows_its_own_files() -> None:
    own = identity(epochs=3, rate=0.1)
    own.require(own.what, "x")
    # However they are ordered; what is null is as what was not there yet.
    own.require('{"settings": {"rate": 0.1, "epochs": 3, "new": null}, "seed": 0}', "x")


def test_another_run_is_told_by_its_first_setting_that_differs(
    message: Callable[..., str],
) -> None:
    own = identity(epochs=3, rate=0.1)
    theirs = identity(rate=0.2, epochs=4).what
    assert message(SettingsError, own.require, theirs, "a/last.ckpt") == (
        "a/last.ckpt is of another run (epochs is 4 there and 3 here); choose another output "
        "directory, or the same settings to go on with it"
    )
    for mine, other in ((own, identity(epochs=3)), (identity(epochs=3), own)):
        assert "(rate is " in message(SettingsError, mine.require, other.what, "x")


def test_no_secret_is_told(message: Callable[..., str]) -> None:
    own, other = (identity(data={"name": "mine", "password": word}) for word in ("hunter2", "x"))
    said = message(SettingsError, own.require, other.what, "x")
    assert "hunter2" not in said
    assert "'password': '(left out)'" in said


@pytest.mark.parametrize(
    "theirs", [None, 3, "", "[]", "{}", '{"settings": 3}', "[" * 100_000, b'{"settings": {}}']
)
def test_what_does_not_say_whose_it_is(theirs: object, message: Callable[..., str]) -> None:
    assert message(SettingsError, identity().require, theirs, "a/last.ckpt") == (
        "a/last.ckpt does not say which run it is of (another program wrote it, or an older "
        "version); choose another output directory, or take it out of this one"
    )
