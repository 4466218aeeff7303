from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

from nni_darts._common.classes import class_at
from nni_darts._common.validation import SettingsError


def test_a_class_is_found() -> None:
    assert class_at("x.name", "mapping", "collections.OrderedDict", dict) is OrderedDict


@pytest.mark.parametrize(
    ("path", "short", "expected"),
    [
        (None, None, "x.name: must be package.module.Class, got None"),
        ("a b", ["Mine"], "x.name: must be a short name or package.module.Class, got 'a b'"),
        (
            "Mime",
            ["Mine"],
            "x.name: unknown mapping 'Mime'; did you mean 'Mine'? (known: Mine); or",
        ),
        ("no_such.Class", None, "x.name: cannot import 'no_such': No module named 'no_such'"),
        ("collections.Ordered", None, "x.name: unknown class in collections 'Ordered'"),
        ("collections.deque", None, "x.name: collections.deque must be a subclass of dict"),
        ("raises.Class", None, "x.name: cannot import 'raises': ZeroDivisionError: division by"),
    ],
)
def test_what_is_no_such_class(
    path: object,
    short: list[str] | None,
    expected: str,
    message: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert expected in message(SettingsError, class_at, "x.name", "mapping", path, dict, short)
