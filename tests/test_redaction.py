from __future__ import annotations

from typing import Any

import pytest

from nni_darts.redaction import is_secret, redacted, redacted_text


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
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["seed", "sshKeyFile", "tokenizer", "keys", "monkey", "author", "passes", "spin", ""]
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
        ("python -m nni_darts.trial", "python -m nni_darts.trial"),
    ],
)
def test_commands(text: str, expected: str) -> None:
    assert redacted_text(text) == expected
