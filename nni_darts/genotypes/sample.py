"""Samples: what a search chose in a space that is not one of cells alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nni_darts._common.messages import shown

_MOST = 50_000  # characters, as of a genotype


@dataclass(frozen=True)
class Sample:
    """A choice for every label of a space, in plain values."""

    choices: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Sample:
        """The sample that `to_json` wrote; ValueError for any other text."""
        try:
            choices = json.loads(text) if len(text) <= _MOST else None
        except (ValueError, RecursionError):
            choices = None
        if not isinstance(choices, dict) or not choices:
            raise ValueError(
                f"a sample must be JSON of at most {_MOST} characters, as in "
                f'{{"label": "choice"}}, got {shown(text)}'
            )
        return cls(choices)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dict(self.choices))

    @property
    def digest(self) -> str:
        """8 hex digits, the same for the same choices in any order."""
        text = json.dumps(dict(self.choices), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
