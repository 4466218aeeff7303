from __future__ import annotations

import json
import time
from typing import Any

import pytest

from experiments import SETTINGS
from nni_darts._common.redaction import LEFT_OUT, is_secret, redacted, redacted_text
from nni_darts._common.validation import SettingsError
from nni_darts.experiment import check
from nni_darts.experiment.nni_database import TUNER
from nni_darts.tasks.registry import parse
from nni_darts.training.identity import Identity


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "sshPassphrase",
        "WANDB_API_KEY",
        "hf-token",
        "accessKey",
        "storageAccountKey",
        "client_secret",
        "AWS_SECRET_ACCESS_KEY",
        "dbpassword",
        "Authorization",
        "private_key",
        "S3_KEY",
        "MYTOKEN",
        "GITHUB_PAT",
        "pass",
        "auth",
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "seed",
        "sshKeyFile",
        "tokenizer",
        "keys",
        "monkey",
        "author",
        "passes",
        "spin",
        "pad_token",
        "label_key",
        "",
    ],
)
def test_other_names(name: str) -> None:
    assert not is_secret(name)


def test_settings() -> None:
    settings: dict[str, Any] = {
        "data": {"name": "mine.Data", "password": "hunter2", "rows": [{"token": 5}, 3]},
        "none": None,
        "token": None,
        "max_tokens": 512,
        "secret": True,
        "url": "s3://me:hunter2@host/path",
    }
    assert redacted(settings) == {
        "data": {
            "name": "mine.Data",
            "password": "(left out)",
            "rows": [{"token": "(left out)"}, 3],
        },
        "none": None,
        "token": None,
        "max_tokens": 512,
        "secret": True,
        "url": "s3://(left out)@host/path",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WANDB_API_KEY=abc python -m x", "WANDB_API_KEY='(left out)' python -m x"),
        ("export TOKEN='a b'; OMP=1 x", "export TOKEN='(left out)'; OMP=1 x"),
        ("x --api-key abc --seed 3", "x --api-key '(left out)' --seed 3"),
        ("x --api-key=abc", "x --api-key='(left out)'"),
        ("env -i A_TOKEN=abc x", "env -i A_TOKEN='(left out)' x"),
        ('x --password "a b" y', "x --password '(left out)' y"),
        ("curl -H 'Authorization: Bearer abc' y", "curl -H 'Authorization: (left out)' y"),
        ("x --header 'X: Bearer abc' y", "x --header 'X: Bearer '(left out)'' y"),
        ('AUTH="Bearer abc" x', "AUTH='(left out)' x"),
        ("TOKEN=a'b c'\"d\" x", "TOKEN='(left out)' x"),
        ("TOKEN=$(cat a b) x", "TOKEN='(left out)' x"),
        ("x --data.password=a;y", "x --data.password='(left out)';y"),
        ("x --a b=c --token=d", "x --a b=c --token='(left out)'"),
        ("curl -u me:abc x", "curl -u me:(left out) x"),
        ("x https://u:p@q@h/x?token=abc", "x https://(left out)@h/x?token='(left out)'"),
        ("x https://u:p/q@h", "x https://(left out)@h"),
        ("pip install git+https://h.org/x@v1", "pip install git+https://h.org/x@v1"),
        ('{"token": "abc"}', '{"token": (left out)'),
        ("python -m nni_darts.trial", "python -m nni_darts.trial"),
    ],
)
def test_commands(text: str, expected: str) -> None:
    assert redacted_text(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["x", "--token", "abc", "--seed", "3"], ["x", "--token", "(left out)", "--seed", "3"]),
        ({"env": [{"name": "A_TOKEN", "value": "abc"}]}, [{"name": "A_TOKEN", "value": LEFT_OUT}]),
        ({"api": {"key": "abc"}}, {"key": "(left out)"}),
        (({"token": "abc"}, ["Authorization: Bearer abc"]), None),
        ({"a": {"--password=abc"}}, None),
    ],
)
def test_containers(value: Any, expected: Any) -> None:
    shown = redacted(value)
    assert "abc" not in str(shown)
    if expected is not None:
        assert expected == (next(iter(shown.values())) if isinstance(value, dict) else shown)


@pytest.mark.parametrize("part", ["a=", "--a ", "://a:", "TOKEN=$(", "Bearer ", "x: ", "-u "])
def test_long_texts_take_no_time(part: str) -> None:
    start = time.perf_counter()
    redacted_text(part * 3000)
    assert time.perf_counter() - start < 5


def test_messages_about_settings_have_no_secrets() -> None:
    with pytest.raises(SettingsError) as wrong:
        parse({**SETTINGS, "search": {"epochs": "https://me:hunter2@host"}})
    assert "search.epochs" in str(wrong.value)
    assert "hunter2" not in str(wrong.value)
    tuner = {"className": TUNER, "classArgs": SETTINGS}
    values = {"trialCommand": "A_TOKEN=hunter2 python mine.py", "tuner": tuner}
    with pytest.raises(SettingsError) as wrong:
        check._check_ours(values)
    assert "got \"A_TOKEN='(left out)' python mine.py\"" in str(wrong.value)
    old, new = (
        Identity("search-0", json.dumps({"settings": {"data": {"password": word}}}))
        for word in ("hunter2", "hunter3")
    )
    with pytest.raises(SettingsError, match="is of another run") as wrong:
        new.require(old.what, "last.ckpt")
    assert "hunter" not in str(wrong.value)
