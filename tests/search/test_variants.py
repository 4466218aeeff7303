"""The table of the methods says what the experiments do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from nni_darts.search.parts import PARTS
from nni_darts.search.variants import VARIANTS, Variant

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
LANDED = sorted(path.name for path in EXPERIMENTS.glob("*.yml"))
FILES = [(variant, file) for variant in VARIANTS for file in variant.experiments]


def looked_up(values: Any, key: str) -> Any:
    """The value under a dotted key; None where there is none."""
    for name in key.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def names(value: Any) -> list[Any]:
    """The names of the part, or of the parts of a list, that a value stands for."""
    parts = value if isinstance(value, list) else [value]
    return [part.get("name") if isinstance(part, Mapping) else part for part in parts]


def agrees(variant: Variant, arguments: Mapping[str, Any]) -> bool:
    return all(
        bool(found) if expected is True else expected in names(found)
        for key, expected in variant.parts.items()
        for found in [looked_up(arguments, key)]
    )


def arguments_of(file: str) -> dict[str, Any]:
    return yaml.safe_load((EXPERIMENTS / file).read_text())["tuner"]["classArgs"]


@pytest.mark.parametrize(("variant", "file"), FILES, ids=lambda each: str(each)[-24:])
def test_an_experiment_has_the_parts_of_its_method(variant: Variant, file: str) -> None:
    arguments = arguments_of(file)
    assert agrees(variant, arguments)
    # Of a method that is another one, too, it would be no experiment of this one alone.
    others = [other.name for other in VARIANTS if other.parts.keys() - variant.parts.keys()]
    also = [v.name for v in VARIANTS if v.name in others and agrees(v, arguments)]
    assert set(also) <= {"DARTS"}


def test_every_published_experiment_is_listed() -> None:
    listed = {file for _, file in FILES}
    quick = {"darts.yml", "darts_rnn.yml"}  # on digits, and on a text that comes with the package
    searches = {file for file in LANDED if "space" in arguments_of(file)}
    assert searches - listed == quick


def test_parts_have_their_names() -> None:
    for variant in VARIANTS:
        for key, name in variant.parts.items():
            known = PARTS.get(key.removeprefix("search."))
            assert known is None or name in known, (variant.name, name)


def test_names_are_distinct() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    assert len({file for _, file in FILES}) == len(FILES)
