"""Genotypes as the JSON text of a result: parsed, and named by a digest."""

from __future__ import annotations

import json
from typing import Any

from nni_darts.genotypes.genotype import Genotype


def digest(text: str) -> str:
    """Short name of a genotype that a search found; the same however its edges are ordered."""
    return parse(text).digest


def parse(text: str) -> Genotype:
    """Genotype stored as JSON; ValueError if it is a sample of another space.

    A search may have been over operations of the user's, so all its names are taken.
    """
    names: set[str] = set()
    _collect(json.loads(text), names)
    return Genotype.parse(text, operations=names)


def _collect(value: Any, names: set[str]) -> None:
    if isinstance(value, str):
        names.add(value)
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _collect(item, names)
