from __future__ import annotations

import re
from pathlib import Path

from nni_darts._common import limits

ROOT = Path(__file__).parents[2]


def test_no_bound_is_idle() -> None:
    files = [
        path for room in ("nni_darts", "search_spaces") for path in (ROOT / room).rglob("*.py")
    ]
    others = "\n".join(path.read_text() for path in files if path.name != "limits.py")
    bounds = [name for name in vars(limits) if name.isupper()]
    assert len(bounds) > 20
    imported = " ".join(re.findall(r"limits import (.+)", others))
    used = {*re.findall(r"limits\.([A-Z_]+)", others), *re.findall(r"[A-Z_]+", imported)}
    assert [name for name in bounds if name not in used] == []
